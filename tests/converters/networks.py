"""Small checkpoints of known networks, in PyTorch's layout."""

from __future__ import annotations

from typing import Any

import numpy as np

from sige_mlx.converters.families.family import parameter_shapes
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from sige_mlx.models.pd import PDConfig, PDUNet
from sige_mlx.models.resnet_generator import ResnetGeneratorConfig
from sige_mlx.models.spade import SPADEConfig, SPADEGenerator
from sige_mlx.models.sub_mobile_spade import SubMobileSPADEConfig, SubMobileSPADEGenerator

Arrays = dict[str, np.ndarray]

SMALL = DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,))
SMALL_PD = PDConfig(
    image_size=64, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(32,), head_dim=64, temb_ch=48
)
SMALL_SPADE = SPADEConfig(ngf=2, nhidden=4)
SMALL_RESNET = ResnetGeneratorConfig(ngf=4, n_blocks=6)
SMALL_SUB_MOBILE = SubMobileSPADEConfig(config_str="2_3_1_4_2_3_1_5")


def ddpm(config: DDPMConfig = SMALL, seed: int = 0) -> Arrays:
    """A state dict of the published layout, with random values."""
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(DDPMUNet(config))
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def fused_ddpm(arrays: Arrays) -> Arrays:
    """The fused layout of the same network: the rows of every q, k and v together, and those of every `temb_proj`.

    The time embedding's rows are in the order in which the network uses them: down, middle, up from the lowest level.
    """
    fused = {name: value for name, value in arrays.items() if ".temb_proj." not in name}
    for name in arrays:
        if ".q." in name:
            parts = [fused.pop(name.replace(".q.", f".{part}.")) for part in "qkv"]
            fused[name.replace(".q.", ".qkv.")] = np.concatenate(parts)
    levels = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("down."))
    for leaf in ("weight", "bias"):
        rows = []
        for level in range(levels):
            rows += _numbered(arrays, f"down.{level}.block.{{}}.temb_proj.{leaf}")
        rows += [arrays[f"mid.block_{i}.temb_proj.{leaf}"] for i in (1, 2)]
        for level in reversed(range(levels)):
            rows += _numbered(arrays, f"up.{level}.block.{{}}.temb_proj.{leaf}")
        fused[f"temb.dense.2.{leaf}"] = np.concatenate(rows)
    return fused


def diffusers_ddpm(arrays: Arrays, old: bool = False) -> Arrays:
    """The same network as a state dict of diffusers' UNet2DModel, attention by its `old` names or by those of today."""
    levels = 1 + max(int(name.split(".")[1]) for name in arrays if name.startswith("up."))
    theirs = {"q": "query", "k": "key", "v": "value", "proj_out": "proj_attn"}
    if not old:
        theirs = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
    state: Arrays = {}
    for name, value in arrays.items():
        first, *rest = name.split(".")
        if first == "temb":
            renamed = ["time_embedding", f"linear_{int(rest[1]) + 1}", rest[2]]
        elif first in ("down", "up"):
            level, kind, *rest = rest
            level = str(levels - 1 - int(level)) if first == "up" else level
            kinds = {
                "block": "resnets",
                "attn": "attentions",
                "downsample": "downsamplers.0",
                "upsample": "upsamplers.0",
            }
            renamed = [f"{first}_blocks", level, kinds[kind], *rest]
        elif first == "mid":
            kinds = {"block_1": "resnets.0", "attn_1": "attentions.0", "block_2": "resnets.1"}
            renamed = ["mid_block", kinds[rest[0]], *rest[1:]]
        else:
            renamed = ["conv_norm_out" if first == "norm_out" else first, *rest]
        *layers, layer, leaf = renamed
        others = {"temb_proj": "time_emb_proj", "nin_shortcut": "conv_shortcut", "norm": "group_norm"}
        if layer in theirs and value.ndim == 4:
            value = value[:, :, 0, 0]
        state[".".join([*layers, {**others, **theirs}.get(layer, layer), leaf])] = value
    return state


def diffusers_config(config: DDPMConfig = SMALL, **settings: Any) -> dict[str, Any]:
    """What diffusers writes beside a UNet2DModel that is DDPM's network, with other `settings`."""
    levels = range(len(config.ch_mult))
    attends = [config.image_size >> level in config.attn_resolutions for level in levels]
    described = {
        "_class_name": "UNet2DModel",
        "_diffusers_version": "0.30.0",
        "act_fn": "silu",
        "attention_head_dim": None,
        "block_out_channels": [config.ch * m for m in config.ch_mult],
        "center_input_sample": False,
        "down_block_types": ["AttnDownBlock2D" if attends[level] else "DownBlock2D" for level in levels],
        "up_block_types": ["AttnUpBlock2D" if attends[level] else "UpBlock2D" for level in reversed(levels)],
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "in_channels": config.in_ch,
        "out_channels": config.out_ch,
        "layers_per_block": config.num_res_blocks,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-06,
        "norm_num_groups": 32,
        "sample_size": config.image_size,
        "time_embedding_type": "positional",
    }
    return {name: value for name, value in {**described, **settings}.items() if value != "unset"}


def pd(config: PDConfig = SMALL_PD, seed: int = 0) -> Arrays:
    """A state dict of the published layout, with random values."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in parameter_shapes(PDUNet(config)).items():
        if ".k." not in name and ".v." not in name:
            joined = (3 * shape[0], *shape[1:]) if ".q." in name else shape
            arrays[name.replace(".q.", ".qkv.")] = rng.standard_normal(joined, np.float32)
    return arrays


def _numbered(arrays: Arrays, name: str) -> list[np.ndarray]:
    return [arrays[name.format(i)] for i in range(100) if name.format(i) in arrays]


def spade(config: SPADEConfig = SMALL_SPADE, seed: int = 0) -> Arrays:
    """A state dict of GauGAN's published layout, with random values."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, shape in parameter_shapes(SPADEGenerator(config)).items():
        half = (shape[0] // 2, *shape[1:])
        for part in ("gamma", "beta") if ".mlp_gamma_beta." in name else ("",):
            published = name.replace("mlp_gamma_beta", f"mlp_{part}")
            arrays[published] = rng.standard_normal(half if part else shape, np.float32)
    return _with_counts(arrays)


def sub_mobile_spade(config: SubMobileSPADEConfig = SMALL_SUB_MOBILE, seed: int = 0) -> Arrays:
    """A state dict of GAN Compression's published layout, with random values."""
    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(SubMobileSPADEGenerator(config))
    return _with_counts({name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()})


def fused_label_to_image(arrays: Arrays) -> Arrays:
    """The fused layout of either: the first layers of a block's norms together, and plain scales with shifts."""
    fused: Arrays = {}
    for name, value in arrays.items():
        block, is_shared, leaf = name.partition(".mlp_shared.0.")
        if is_shared:
            if block.endswith(".norm_0"):
                norms = [block.replace("norm_0", f"norm_{i}") for i in "01s"]
                parts = [arrays[key] for n in norms if (key := f"{n}.mlp_shared.0.{leaf}") in arrays]
                fused[name.replace(".norm_0.", ".")] = np.concatenate(parts)
        elif name.endswith((".mlp_gamma.weight", ".mlp_gamma.bias")):
            beta = arrays[name.replace("mlp_gamma", "mlp_beta")]
            fused[name.replace("mlp_gamma", "mlp_gamma_beta")] = np.concatenate([value, beta])
        elif not name.endswith((".mlp_beta.weight", ".mlp_beta.bias")):
            fused[name] = value
    return fused


def spectral_spade(arrays: Arrays, seed: int = 1) -> Arrays:
    """The layout of SPADE's own release: weights of the blocks' convolutions with vectors u and v beside them."""
    rng = np.random.default_rng(seed)
    state: Arrays = {}
    for name, value in arrays.items():
        if ".conv_" in name and name.endswith(".weight"):
            state[f"{name}_orig"] = value
            state[f"{name}_u"] = rng.standard_normal(len(value), np.float32)
            state[f"{name}_v"] = rng.standard_normal(value[0].size, np.float32)
        else:
            state[name] = value
    return state


def resnet_generator(
    config: ResnetGeneratorConfig = SMALL_RESNET,
    block: str = "conv_block",
    dropout: bool = False,
    buffers: tuple[str, ...] = (),
    seed: int = 0,
) -> Arrays:
    """A state dict of CycleGAN's layout, with random values: layers in the order they run, numbered with what has no
    parameters (padding, activations, dropout) among them. By batch there is no bias before a norm, and its statistics
    are there whatever the `buffers`."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}

    def add(name: str, number: int, *shape: int, transposed: bool = False) -> None:
        """A convolution and its norm."""
        out = shape[1] if transposed else shape[0]
        arrays[f"{name}.{number}.weight"] = rng.standard_normal(shape, np.float32)
        batch = config.norm == "batch"
        if not batch:
            arrays[f"{name}.{number}.bias"] = rng.standard_normal(out, np.float32)
        kept = ("running_mean", "running_var") if batch else ()
        for leaf in (*(("weight", "bias") if config.affine else ()), *kept, *buffers):
            value = np.array(7) if leaf == "num_batches_tracked" else rng.standard_normal(out, np.float32)
            arrays[f"{name}.{number + 1}.{leaf}"] = value

    a, b, c = config.ngf, 2 * config.ngf, 4 * config.ngf
    add("model", 1, a, config.input_nc, 7, 7)
    add("model", 4, b, a, 3, 3)
    add("model", 7, c, b, 3, 3)
    for i in range(10, 10 + config.n_blocks):
        add(f"model.{i}.{block}", 1, c, c, 3, 3)
        add(f"model.{i}.{block}", 6 if dropout else 5, c, c, 3, 3)
    up = 10 + config.n_blocks
    add("model", up, c, b, 3, 3, transposed=True)
    add("model", up + 3, b, a, 3, 3, transposed=True)
    arrays[f"model.{up + 7}.weight"] = rng.standard_normal((config.output_nc, a, 7, 7), np.float32)
    arrays[f"model.{up + 7}.bias"] = rng.standard_normal(config.output_nc, np.float32)
    return arrays


def _with_counts(arrays: Arrays) -> Arrays:
    means = [name for name in arrays if name.endswith(".running_mean")]
    return {**arrays, **{name.replace("running_mean", "num_batches_tracked"): np.array(7) for name in means}}
