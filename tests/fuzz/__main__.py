"""`python -m tests.fuzz NAME …`: runs harnesses and prints what came of them. Status 1 where something was found."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.harnesses.loader import of_loader
from tests.fuzz.loop import LEAK, fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(HARNESSES)}; without one, all")
    parser.add_argument("--runs", type=int, default=10_000, help="changed inputs for each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="of a processor, for each")
    parser.add_argument("--seed", type=int, default=0, help="the same gives the same inputs (default: %(default)s)")
    parser.add_argument("--read", metavar="FILE", help="only this input, with its traceback")
    parser.add_argument(
        "--loader", metavar="MODULE:FUNCTION", help="instead of a harness: what takes the path of a file"
    )
    parser.add_argument("--seeds", type=Path, metavar="FOLDER", help="valid files for it")
    given = parser.parse_args()
    if given.loader:
        module, _, function = given.loader.partition(":")
        HARNESSES["loader"] = of_loader(getattr(import_module(module), function), given.seeds)
        given.names = ["loader"]
    names = given.names or list(HARNESSES)
    if unknown := [name for name in names if name not in HARNESSES]:
        parser.error(f"there is no harness {unknown[0]!r}: {', '.join(HARNESSES)}")
    if given.read:
        with open(given.read, "rb") as file:
            data = file.read()
        for name in names:
            HARNESSES[name].run(data)
        return 0
    bad = False
    for name in names:
        outcome = fuzz(name, HARNESSES[name], given.runs, given.seed, given.seconds)
        bad |= bool(outcome.found) or outcome.grown > LEAK
        print(f"{name}: {outcome}", flush=True)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
