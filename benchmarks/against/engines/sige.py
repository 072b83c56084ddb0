"""The peer, SIGE (Li et al. 2022), from a clone that the caller provides and whose C++ extension is built.

Nothing of it is part of this project: its network class is imported from the clone and driven as its own runner does.
"""

import importlib
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.against.engines.torch import conditions, nchw, nhwc
from benchmarks.against.task import Call, Calls, Floats, Task
from sige_mlx.errors import SigeError

BLOCK_SIZES = {"normal": 6, "instance": 4}


def load(task: Task) -> Calls:
    torch.set_num_threads(task.threads)
    make = NETWORKS.get(task.pretrained.family)
    if make is None:
        raise SigeError(f"SIGE has no network of the family {task.pretrained.family}: leave out --sige")
    net, smallest, dilation = make(task)
    net.eval().load_state_dict({name: torch.from_numpy(value) for name, value in task.state_dict(fused=True).items()})
    masks = importlib.import_module("sige.utils")
    others = conditions(task)
    original, edited = nchw(task.original), nchw(task.edited)
    mask = torch.from_numpy(task.mask)

    def prepare() -> None:
        net.set_masks(masks.downsample_mask(mask, smallest, dilation=dilation))

    def run(x: torch.Tensor) -> Floats:
        with torch.inference_mode():
            return nhwc(net(x, *others))

    net.set_mode("full")
    run(original)  # it learns the sizes of its planes, which the masks need
    prepare()
    return {
        "record": Call(lambda: run(original), before=lambda: net.set_mode("full")),
        "prepare": Call(prepare),
        "edit": Call(lambda: run(edited), before=lambda: net.set_mode("sparse")),
    }


def _import(task: Task, part: str, module: str) -> ModuleType:
    """A module of the clone's folder `part`."""
    clone = Path(task.sige or "")
    if not (clone / part / "models").is_dir():
        raise SigeError(f"{clone} is no clone of SIGE: it has no {part}/models")
    sys.path[:0] = [str(clone / part), str(clone)]
    try:
        importlib.import_module("sige.cpu")
    except ImportError as error:
        raise SigeError(f"the C++ extension sige.cpu of {clone} cannot be imported; build it first: {error}") from error
    return importlib.import_module(module)


Made = tuple[Any, int | tuple[int, int], int]
"""A network, the smallest plane it has masks for, and how far those grow on every plane."""


def _unet(task: Task, module: str, network: str, **more: Any) -> Made:
    """Our configuration, whose fields have the names of its files, and what they say `more`."""
    config = task.config
    edits = {"sparse_resolution_threshold": task.sige_policy.tiles_from}
    model = Namespace(**vars(config), **edits, **more, dropout=0, sige_block_size=Namespace(**BLOCK_SIZES))
    settings = Namespace(model=model, data=Namespace(image_size=config.image_size))
    made = getattr(_import(task, "diffusion", module), network)(Namespace(), settings)
    return made, config.image_size >> (len(config.ch_mult) - 1), 1


def _ddpm(task: Task) -> Made:
    return _unet(task, "models.ddpm_arch.sige_fused_unet", "SIGEFusedUNet")


def _pd(task: Task) -> Made:
    return _unet(task, "models.pd_arch.sige_unet", "SIGEUNet", logsnr_input_type="inv_cos", num_heads=None)


def _label_options(task: Task, ngf: int) -> Namespace:
    config = task.config
    names = ("semantic_nc", "num_upsampling_layers", "crop_size", "aspect_ratio")
    common = {name: getattr(config, name) for name in names}
    counts = range(len(config.blocks), -1, -1)
    common["num_sparse_layers"] = next(n for n in counts if config.side_of_last(n) >= task.sige_policy.tiles_from)
    blocks = {"main_block_size": BLOCK_SIZES["normal"], "shortcut_block_size": BLOCK_SIZES["instance"]}
    norms = {"norm_G": "spadesyncbatch3x3", "separable_conv_norm": "instance"}
    return Namespace(ngf=ngf, **common, **blocks, **norms)


def _spade(task: Task) -> Made:
    module = _import(task, "gaugan", "models.spade_generators.sige_fused_spade_generator")
    net = module.SIGEFusedSPADEGenerator(_label_options(task, task.config.ngf))
    return net, (net.sh, net.sw), task.policy.dilation_per_level


def _sub_mobile_spade(task: Task) -> Made:
    module = _import(task, "gaugan", "models.sub_mobile_spade_generators.sige_fused_sub_mobile_spade_generator")
    options, channels = _label_options(task, 64), {"channels": task.config.channels}
    net = module.SIGEFusedSubMobileSPADEGenerator(options, config=channels)
    return net, (net.sh, net.sw), task.policy.dilation_per_level


NETWORKS: dict[str, Callable[[Task], Made]] = {
    "ddpm": _ddpm,
    "pd": _pd,
    "spade": _spade,
    "sub_mobile_spade": _sub_mobile_spade,
}
