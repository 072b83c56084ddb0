"""All cases of a folder, network by network."""

from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.progress import track

from benchmarks.frozen import case
from benchmarks.frozen.check import Outcome, check
from benchmarks.frozen.folder import Folder, UnknownNetwork
from benchmarks.frozen.report import Report
from sige_mlx.engine import DEVICES, Engine
from sige_mlx.errors import SigeError
from sige_mlx.graph.policy import Output
from sige_mlx.zoo import Pretrained

Engines = dict[tuple[int, Output], Engine]
"""By batch and by where the output is wanted."""


def run(path: Path, device: str) -> Report:
    """Runs what can be run and tells of the rest; raises `SigeError` when the folder or the device is none."""
    if device not in DEVICES:
        raise SigeError(f"device {device!r} is none: choose {', '.join(DEVICES[:-1])} or {DEVICES[-1]}")
    folder = Folder(path)
    outcomes: list[Outcome] = []
    broken: dict[str, str] = {}
    skipped: dict[str, str] = {}
    # By network, whose weights are then made once, and only one network's are in memory.
    cases = sorted(folder.cases.items(), key=lambda item: (item[1] or "", item[0]))
    console = Console(stderr=True)
    shown = track(cases, "running cases", console=console, transient=True, disable=not console.is_terminal)
    for name, group in groupby(shown, key=lambda item: item[1]):
        names = [case_name for case_name, _ in group]
        if name is None:
            broken.update(dict.fromkeys(names, "no manifest has a name that this one begins with"))
            continue
        try:
            network = folder.network(name)
        except UnknownNetwork as error:
            skipped.update(dict.fromkeys(names, str(error)))
            continue
        except SigeError as error:
            broken.update(dict.fromkeys(names, str(error)))
            continue
        engines: Engines = {}
        for case_name in names:
            try:
                outcomes.append(_run(folder, case_name, network, device, engines))
            except SigeError as error:
                broken[case_name] = str(error)
    return Report(device, tuple(outcomes), broken, skipped)


def _run(
    folder: Folder, name: str, network: Pretrained, device: str, engines: dict[tuple[int, Output], Engine]
) -> Outcome:
    read = case.read(folder.path / "cases" / f"{name}.npz")
    # Of a trajectory all other pixels are replaced after each step; of a pass SIGE's error counts them.
    key: tuple[int, Output] = (read.batch, "tiles" if isinstance(read, case.Trajectory) else "everywhere")
    if key not in engines:
        engines.clear()
        policy = network.policy(output=key[1])
        engines[key] = Engine(network.model, device, policy, batch=read.batch, load=network.load, precision="float32")
    return check(name, network.family, read, engines[key])
