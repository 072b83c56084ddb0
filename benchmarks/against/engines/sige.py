"""The peer, SIGE (Li et al. 2022), from a clone that the caller provides and whose C++ extension is built.

Nothing of it is part of this project: its network class is imported from the clone and driven as its own runner does.
"""

import importlib
import sys
from argparse import Namespace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from benchmarks.against.engines.torch import nchw, nhwc
from benchmarks.against.task import Call, Calls, Floats, Task
from sige_mlx.errors import SigeError

NETWORK = "models.ddpm_arch.sige_fused_unet"
BLOCK_SIZES = {"normal": 6, "instance": 4}


def load(task: Task) -> Calls:
    torch.set_num_threads(task.threads)
    module, masks = _import(Path(task.sige or ""))
    net = module.SIGEFusedUNet(Namespace(), _settings(task.config)).eval()
    net.load_state_dict({name: torch.from_numpy(value) for name, value in task.state_dict(fused=True).items()})
    t = torch.tensor([task.timestep])
    original, edited = nchw(task.original), nchw(task.edited)
    mask = torch.from_numpy(task.mask)
    smallest = task.config.image_size >> (len(task.config.ch_mult) - 1)

    def prepare() -> None:
        net.set_masks(masks.downsample_mask(mask, smallest))

    def run(x: torch.Tensor) -> Floats:
        with torch.inference_mode():
            return nhwc(net(x, t))

    net.set_mode("full")
    run(original)  # it learns the sizes of its planes, which the masks need
    prepare()
    return {
        "record": Call(lambda: run(original), before=lambda: net.set_mode("full")),
        "prepare": Call(prepare),
        "edit": Call(lambda: run(edited), before=lambda: net.set_mode("sparse")),
    }


def _import(clone: Path) -> tuple[ModuleType, ModuleType]:
    if not (clone / "diffusion" / "models").is_dir():
        raise SigeError(f"{clone} is no clone of SIGE: it has no diffusion/models")
    sys.path[:0] = [str(clone / "diffusion"), str(clone)]
    try:
        importlib.import_module("sige.cpu")
    except ImportError as error:
        raise SigeError(f"the C++ extension sige.cpu of {clone} cannot be imported; build it first: {error}") from error
    return importlib.import_module(NETWORK), importlib.import_module("sige.utils")


def _settings(config: Any) -> Namespace:
    """Our configuration under the names of its files."""
    names = ("ch", "ch_mult", "num_res_blocks", "attn_resolutions", "in_ch", "out_ch", "resamp_with_conv")
    model = {name: getattr(config, name) for name in (*names, "sparse_resolution_threshold")}
    return Namespace(
        model=Namespace(**model, dropout=0, sige_block_size=Namespace(**BLOCK_SIZES)),
        data=Namespace(image_size=config.image_size),
    )
