"""`python -m tests.fuzz.guided NAME …`: the same harnesses, inputs that coverage guides (atheris, the extra `fuzz`).

libFuzzer counts executions, bounds time and memory, and writes what fails into `build/fuzz/`, to be read again by
`python -m tests.fuzz NAME --read FILE`.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from pathlib import Path
from random import Random
from types import FunctionType

import atheris

from tests.fuzz.harness import corpus
from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.loop import FOUND


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided", description=__doc__)
    parser.add_argument("name", choices=HARNESSES)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    harness = HARNESSES[given.name]
    pool = [*harness.seeds(), *corpus(given.name)]

    def mutated(data: bytes, largest: int, seed: int) -> bytes:
        rng = Random(seed)
        changed = harness.mutate(rng, data, pool) if rng.random() < 0.7 else atheris.Mutate(data, largest)
        return bytes(changed[:largest])

    # An editable install's own import hook keeps atheris from seeing imports, so functions are instrumented one by one.
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and (function.__module__ or "").startswith("sige_mlx."):
            atheris.instrument_func(function)
    FOUND.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sige-mlx-corpus-"))
    for number, data in enumerate(pool):
        (folder / str(number)).write_bytes(data)
    limits = [f"-timeout={harness.seconds * 4:.0f}", "-rss_limit_mb=2048", "-max_len=16384", "-print_final_stats=1"]
    options = [f"-runs={given.runs}", f"-seed={given.seed}", f"-artifact_prefix={FOUND}/{given.name}-", *limits]
    atheris.Setup([sys.argv[0], *options, str(folder)], harness.run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
