"""The GPU against plain MLX and the CPU: what `sige-mlx doctor` runs where there is a GPU, or the model of one."""

from collections.abc import Callable, Iterable
from functools import partial

import mlx.core as mx
import mlx.nn
import numpy as np

from sige_mlx import zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import workload
from sige_mlx.cli.self_check import Check, nmse
from sige_mlx.editing.recording import Progress
from sige_mlx.engine import Engine
from sige_mlx.engine.engine import PRECISIONS
from sige_mlx.engine.gpu import kernels
from sige_mlx.engine.gpu.calls import Call
from sige_mlx.engine.gpu.executor import tile_arrays
from sige_mlx.engine.gpu.launch import Device
from sige_mlx.engine.gpu.planned import planned
from sige_mlx.engine.gpu.trust import tried
from sige_mlx.errors import first_line
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import EditPolicy, Output
from sige_mlx.masks.difference import Mask
from sige_mlx.models import build

UNET = {"image_size": 32, "ch": 32, "ch_mult": (1, 2), "num_res_blocks": 1, "attn_resolutions": (16,)}
LABELS = {"crop_size": 64, "num_upsampling_layers": "normal", "num_sparse_layers": 3}
SMALL = {
    "ddpm": {**UNET, "sparse_resolution_threshold": 32},
    "pd": {**UNET, "head_dim": 32, "temb_ch": 48, "sparse_resolution_threshold": 16},
    "resnet_generator": {"image_size": (32, 48), "ngf": 8, "n_blocks": 1},
    "spade": {**LABELS, "ngf": 4, "nhidden": 8},
    "sub_mobile_spade": {**LABELS, "config_str": "8_8_8_8_8_8_8_8"},
}
"""A small network of each family, by its configuration."""

EDITED = 10  # % of the pixels
BOUND = 1e-4  # normalised mean squared error: float16 leaves about 1e-6


def gpu_checks(device: Device, threads: int = 0, progress: Progress | None = None) -> list[Check]:
    """Tries every kernel that the small networks use, and that the published ones do in float16, then runs the small
    ones on the GPU and on the CPU, where `threads` are the native engine's. A check that cannot run has failed."""
    networks = {family: build(family, settings) for family, settings in SMALL.items()}
    calls = [call for dtype in PRECISIONS.values() for model in networks.values() for call in calls_of(model, dtype)]
    calls += [call for name in zoo.KNOWN for call in calls_of(zoo.network(name)[1], mx.float16)]
    checks = kernel_checks(device, calls, progress)
    for family, model in networks.items():
        checks += network_checks(family, model, threads)
    return checks


def calls_of(model: mlx.nn.Module, dtype: mx.Dtype) -> list[Call]:
    """The calls of edits of a network, stored as `dtype`."""
    outputs: tuple[Output, ...] = ("everywhere", "tiles")
    lowered = [Lowered.of(model, EditPolicy.of(model.config, output=output)) for output in outputs]
    return [c.call for of in lowered for c in planned(of, of.tiling(blob_mask(of.image_size, EDITED)), dtype)]


def kernel_checks(device: Device, calls: Iterable[Call], progress: Progress | None = None) -> list[Check]:
    """One check for each kernel: all its variants that the calls need, each on small inputs."""
    variants = {}
    for call in calls:
        launch = kernels.launch(call)
        if launch is not None:
            variants[launch.kernel.specialisation] = (launch, call)
    wrong: dict[str, list[str]] = {}
    for done, (launch, call) in enumerate(variants.values()):
        if progress:
            progress("gpu", done, len(variants))
        wrong.setdefault(launch.kernel.name, []).append(tried(device, launch, call))
    return [_of_kernel(name, verdicts) for name, verdicts in sorted(wrong.items())]


def _of_kernel(name: str, verdicts: list[str]) -> Check:
    wrong = [verdict for verdict in verdicts if verdict]
    if wrong:
        return Check(f"kernel {name}", False, f"{len(wrong)} of {len(verdicts)} variants, the first: {wrong[0]}")
    return Check(f"kernel {name}", True, f"all {len(verdicts)} variants give what MLX's operations give")


def network_checks(family: str, model: mlx.nn.Module, threads: int = 0) -> list[Check]:
    """A dense pass and edits, on the GPU in float16 and on the CPU in float32. Only the first edit runs as it is: MLX
    keeps the later ones compiled, for other tiles too, and compiles anew for more of them than a bucket holds."""
    load = zoo.random_weights(model)
    try:
        policy = EditPolicy.of(model.config)
        gpu, cpu = Engine(model, "gpu", policy, load=load), Engine(model, "cpu", policy, load=load, threads=threads)
        work, masks = workload(cpu), masks_of(cpu.lowered)
    except Exception as raised:  # whatever MLX, the compiler or the driver raise
        return [Check(f"{family} on the GPU", False, first_line(raised))]

    def dense() -> float:
        return nmse(gpu.record(**work.original), cpu.record(**work.original))

    def edit(mask: Mask) -> float:
        return nmse(*(engine.edit(engine.prepare(mask), **work.edited(mask)) for engine in (gpu, cpu)))

    runs = {"dense pass": dense} | {what: partial(edit, mask) for what, mask in masks.items()}
    return [_agreement(f"{family} on the GPU, {what}", run) for what, run in runs.items()]


def masks_of(lowered: Lowered) -> dict[str, Mask]:
    """What is edited, one after the other."""
    first, large = blob_mask(lowered.image_size, EDITED), blob_mask(lowered.image_size, 4 * EDITED)
    turned = map(np.ascontiguousarray, (first[::-1], first[:, ::-1], first[::-1, ::-1]))
    other = next(m for m in turned if (m != first).any() and tile_shapes(lowered, m) == tile_shapes(lowered, first))
    return {"edit": first, "edit again": first, "edit elsewhere": other, "larger edit": large}


def tile_shapes(lowered: Lowered, mask: Mask) -> list[tuple[int, ...]]:
    """Of an edit's lists and grids: those of one bucket are alike."""
    return [a.shape for a in tile_arrays(lowered.edit, lowered.tiling(mask)).values()]


def _agreement(name: str, run: Callable[[], float]) -> Check:
    try:
        error = run()
    except Exception as raised:  # likewise
        return Check(name, False, first_line(raised))
    return Check(name, error <= BOUND, f"normalised mean squared error {error:.1e}, at most {BOUND:.0e}")
