"""The GPU against plain MLX and the CPU: what `sige-mlx doctor` runs where there is a GPU, or the model of one."""

from collections.abc import Callable, Iterable
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
from sige_mlx.engine.gpu import kernels
from sige_mlx.engine.gpu.calls import Call
from sige_mlx.engine.gpu.executor import tile_arrays
from sige_mlx.engine.gpu.launch import Device
from sige_mlx.engine.gpu.planned import planned
from sige_mlx.engine.gpu.trust import Trial, tried
from sige_mlx.errors import SigeError, first_line
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.masks.difference import Mask
from sige_mlx.nn.precisions import PRECISIONS

UNET = {"image_size": 32, "ch": 32, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (16,)}
LABELS = {"crop_size": 64, "num_upsampling_layers": "normal"}
SMALL: dict[str, tuple[dict[str, Any], int]] = {
    "ddpm": (UNET, 32),
    "pd": ({**UNET, "head_dim": 32, "temb_ch": 48}, 16),
    "resnet_generator": ({"image_size": (32, 48), "ngf": 8, "n_blocks": 1}, 1),
    "spade": ({**LABELS, "ngf": 4, "nhidden": 8}, 16),
    "sub_mobile_spade": ({**LABELS, "config_str": "8_8_8_8_8_8_8_8"}, 16),
}
"""A small network of each family: its configuration, and the side of the planes from which on it has tiles."""

LARGE = "resnet_generator", {"image_size": (256, 256), "ngf": 32, "n_blocks": 1}, 1
"""A network with convolutions that MLX, left to itself, computes by Winograd in half precision."""

EDITED = 10  # % of the pixels
BOUND = 1e-4  # normalised mean squared error: float16 leaves about 1e-6
LARGE_BOUND = 2e-5
"""Of the dense pass of LARGE: float16 leaves 3e-6, with MLX's Winograd 1e-4 (tests/metal/test_direct.py)."""


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
    ones, and one with many channels, on the GPU and on the CPU, where `threads` are the native engine's. A check that
    cannot run has failed."""
    networks = [network(family, *of) for family, of in SMALL.items()]
    calls = [call for dtype in PRECISIONS.values() for small in networks for call in calls_of(small, dtype)]
    calls += [call for name in families.KNOWN for call in calls_of(zoo.network(name), mx.float16)]
    checks, contacts = kernel_checks(device, calls, progress)
    for small in networks:
        checks += network_checks(small.name, small, threads)
    # On the model of Metal the edits of so many channels would take minutes, and say what the others said.
    checks += network_checks("many channels", network(*LARGE), threads, LARGE_BOUND, edits=device.identity is not None)
    return checks, contacts


def network(family: str, config: dict[str, Any], tiles_from: int) -> zoo.Network:
    """One that has no name of its own."""
    model = families.build(family, config)
    policy = replace(families.FAMILIES[family].policy(model.config), tiles_from=tiles_from)
    return zoo.Network(family, family, model, policy)


def calls_of(network: zoo.Network, dtype: mx.Dtype) -> list[Call]:
    """The calls of edits of a network, stored as `dtype`."""
    outputs: tuple[Output, ...] = ("everywhere", "tiles")
    lowered = [Lowered.of(network.model, network.policy(output=output)) for output in outputs]
    return [c.call for of in lowered for c in planned(of, of.tiling(blob_mask(of.image_size, EDITED)), dtype)]


def kernel_checks(
    device: Device, calls: Iterable[Call], progress: Progress | None = None
) -> tuple[list[Check], list[Contact]]:
    """One check for each kernel, all its variants that the calls need, each on small inputs; and how long the first
    contact with each took."""
    variants = {}
    for call in calls:
        launch = kernels.launch(call)
        if launch is not None:
            variants[launch.kernel.specialisation] = (launch, call)
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


def network_checks(
    name: str, network: zoo.Network, threads: int = 0, bound: float | None = None, edits: bool = True
) -> list[Check]:
    """A dense pass, within `bound`, and edits, on the GPU in float16 and on the CPU in float32. Only the first edit
    runs as it is: MLX keeps the later ones compiled, for other tiles too, and compiles anew for more of them than a
    bucket holds."""
    model, policy, load = network.model, network.edit, zoo.random_weights(network.model)
    try:
        gpu, cpu = Engine(model, "gpu", policy, load=load), Engine(model, "cpu", policy, load=load, threads=threads)
        work, masks = workload(cpu), masks_of(cpu.lowered) if edits else {}
    except Exception as raised:  # whatever MLX, the compiler or the driver raise
        return [Check(f"{name} on the GPU", False, first_line(raised))]

    def dense() -> float:
        return nmse(gpu.record(**work.original), cpu.record(**work.original))

    def edit(mask: Mask) -> float:
        return nmse(*(engine.edit(engine.prepare(mask), **work.edited(mask)) for engine in (gpu, cpu)))

    checks = [_agreement(f"{name} on the GPU, dense pass", dense, bound or BOUND)]
    return checks + [_agreement(f"{name} on the GPU, {w}", partial(edit, m), BOUND) for w, m in masks.items()]


def masks_of(lowered: Lowered) -> dict[str, Mask]:
    """What is edited, one after the other."""
    first, large = blob_mask(lowered.image_size, EDITED), blob_mask(lowered.image_size, 4 * EDITED)
    turned = map(np.ascontiguousarray, (first[::-1], first[:, ::-1], first[::-1, ::-1]))
    other = next(m for m in turned if (m != first).any() and tile_shapes(lowered, m) == tile_shapes(lowered, first))
    return {"edit": first, "edit again": first, "edit elsewhere": other, "larger edit": large}


def tile_shapes(lowered: Lowered, mask: Mask) -> list[tuple[int, ...]]:
    """Of an edit's lists and grids: those of one bucket are alike."""
    return [a.shape for a in tile_arrays(lowered.edit, lowered.tiling(mask)).values()]


def _agreement(name: str, run: Callable[[], float], bound: float) -> Check:
    try:
        error = run()
    except Exception as raised:  # likewise
        return Check(name, False, first_line(raised))
    return Check(name, error <= bound, f"normalised mean squared error {error:.1e}, at most {bound:.0e}")
