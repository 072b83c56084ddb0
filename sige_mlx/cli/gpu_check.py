"""The GPU against plain MLX and the CPU: what `sige-mlx doctor` runs where there is a GPU."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mlx.core as mx
import numpy as np

from sige_mlx import families, zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import workload
from sige_mlx.cli.self_check import Check, nmse
from sige_mlx.editing.recording import Progress
from sige_mlx.engine import Engine
from sige_mlx.engine.gpu.compiled import Compiled, Step
from sige_mlx.engine.gpu.launch import Device
from sige_mlx.engine.gpu.sizes import Sizes
from sige_mlx.engine.gpu.trust import Trial, tried
from sige_mlx.errors import SigeError, first_line
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.masks.difference import Mask
from sige_mlx.nn.precisions import PRECISIONS

SMALL = {name: family.small for name, family in families.FAMILIES.items()}
"""A small network of each family: its configuration, and the side of the planes from which on it has tiles."""

EDITED = 10  # % of the pixels
BOUND = 1e-4  # normalised mean squared error: float16 leaves about 1e-6


@dataclass(frozen=True)
class Contact:
    """The first contact of a machine with a kernel: how many of its variants were compiled, and how long it took, each
    with its first run, in seconds."""

    kernel: str
    variants: int
    seconds: float
    slowest: float


def gpu_checks(device: Device, threads: int = 0, progress: Progress | None = None) -> tuple[list[Check], list[Contact]]:
    """Tries every kernel that the small networks use, and that the published ones do in float16, then runs the small
    ones on the GPU and on the CPU, where `threads` are the native engine's. A check that cannot run has failed."""
    networks = [network(family, *of) for family, of in SMALL.items()]
    steps = [step for dtype in PRECISIONS.values() for small in networks for step in steps_of(small, dtype)]
    steps += [step for name in families.KNOWN for step in steps_of(zoo.network(name), mx.float16)]
    checks, contacts = kernel_checks(device, steps, progress)
    for small in networks:
        checks += network_checks(small.name, small, threads)
    return checks, contacts


def network(family: str, config: Mapping[str, Any], tiles_from: int) -> zoo.Network:
    """One that has no name of its own."""
    model = families.build(family, dict(config))
    policy = replace(families.FAMILIES[family].policy(model.config), tiles_from=tiles_from)
    return zoo.Network(family, family, model, policy)


def steps_of(network: zoo.Network, dtype: mx.Dtype) -> list[Step]:
    """The steps of a dense pass and of edits of a network, stored as `dtype`."""
    outputs: tuple[Output, ...] = ("everywhere", "tiles")
    lowered = [Lowered.of(network.model, network.policy(output=output)) for output in outputs]
    whole = (Compiled(program, {}, dtype) for program in (lowered[0].dense, lowered[0].recording))
    sizes = (Sizes(of, dtype) for of in lowered)
    edits = (of.compiled(of.typical) for of in sizes)
    return [step for of in (*whole, *edits) for step in of.steps]


def kernel_checks(
    device: Device, steps: Iterable[Step], progress: Progress | None = None
) -> tuple[list[Check], list[Contact]]:
    """One check for each kernel, all its variants that the steps need, each on small inputs; and how long the first
    contact with each took."""
    variants = {}
    for step in steps:
        if step.launch is not None:
            variants[step.launch.kernel.specialisation] = (step.launch, step.call)
    trials: dict[str, list[Trial]] = {}
    for done, (launch, call) in enumerate(variants.values()):
        if progress:
            progress("gpu", done, len(variants))
        of_kernel = trials.setdefault(launch.kernel.name, [])
        try:
            of_kernel.append(tried(device, launch, call))
        except SigeError as lost:  # whatever would be tried next would be blamed for it
            of_kernel.append(Trial(str(lost)))
            break
    checks = [_of_kernel(name, [t.wrong for t in of]) for name, of in sorted(trials.items())]
    seconds = {name: [t.seconds for t in of] for name, of in sorted(trials.items())}
    return checks, [Contact(name, len(took), sum(took), max(took)) for name, took in seconds.items()]


def _of_kernel(name: str, verdicts: list[str]) -> Check:
    wrong = [verdict for verdict in verdicts if verdict]
    if wrong:
        return Check(f"kernel {name}", False, f"{len(wrong)} of {len(verdicts)} variants, the first: {wrong[0]}")
    return Check(f"kernel {name}", True, f"all {len(verdicts)} variants give what MLX's operations give")


def network_checks(name: str, network: zoo.Network, threads: int = 0) -> list[Check]:
    """A dense pass and edits, on the GPU in float16 and on the CPU in float32. Edits of one size are one program, which
    MLX keeps compiled, and a larger edit is another."""
    model, policy, load = network.model, network.edit, zoo.random_weights(network.model)
    try:
        gpu, cpu = Engine(model, "gpu", policy, load=load), Engine(model, "cpu", policy, load=load, threads=threads)
        work, masks = workload(cpu), masks_of(cpu.lowered)
    except Exception as raised:  # whatever MLX, the compiler or the driver raise
        return [Check(f"{name} on the GPU", False, first_line(raised))]

    def dense() -> float:
        return nmse(gpu.record(**work.original), cpu.record(**work.original))

    def edit(mask: Mask) -> float:
        return nmse(*(engine.edit(engine.prepare(mask), **work.edited(mask)) for engine in (gpu, cpu)))

    checks = [_agreement(f"{name} on the GPU, dense pass", dense, BOUND)]
    return checks + [_agreement(f"{name} on the GPU, {w}", partial(edit, m), BOUND) for w, m in masks.items()]


def masks_of(lowered: Lowered) -> dict[str, Mask]:
    """What is edited, one after the other."""
    first, large = blob_mask(lowered.image_size, EDITED), blob_mask(lowered.image_size, 4 * EDITED)
    turned = map(np.ascontiguousarray, (first[::-1], first[:, ::-1], first[::-1, ::-1]))
    sizes = Sizes(lowered, mx.float16)
    size = sizes.of(lowered.tiling(first))
    other = next(m for m in turned if (m != first).any() and sizes.of(lowered.tiling(m)) == size)
    return {"edit": first, "edit again": first, "edit elsewhere": other, "larger edit": large}


def _agreement(name: str, run: Callable[[], float], bound: float) -> Check:
    try:
        error = run()
    except Exception as raised:  # likewise
        return Check(name, False, first_line(raised))
    return Check(name, error <= bound, f"normalised mean squared error {error:.1e}, at most {bound:.0e}")
