"""CycleGAN's ResNet generator: PyTorch's numbers, with trained weights, too, and what it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.frozen.case import error
from sige_mlx import zoo
from sige_mlx.converters import checkpoint, convert
from sige_mlx.converters.families import LAYOUTS, recognise
from sige_mlx.editing.images import to_model
from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.families import build, reconfigured
from sige_mlx.graph.lowered import Lowered
from sige_mlx.graph.policy import Output
from sige_mlx.graph.trace import trace
from sige_mlx.models.resnet_generator import ResnetGenerator, ResnetGeneratorConfig
from sige_mlx.nn.module import parameters
from tests.policies import OUTPUTS
from tests.tiny import TRANSLATION_CONFIG, policy_of
from tests.trained import CHECKPOINT_SIZE, photographed, vintagify


@st.composite
def configs(draw: st.DrawFn) -> ResnetGeneratorConfig:
    side = st.integers(2, 5).map(lambda n: 4 * n)
    widths = {name: draw(st.integers(1, 4)) for name in ("input_nc", "output_nc", "ngf")}
    norm, affine = draw(st.sampled_from([("instance", False), ("instance", True), ("batch", True)]))
    size, n_blocks = (draw(side), draw(side)), draw(st.integers(0, 3))
    return ResnetGeneratorConfig(size, **widths, n_blocks=n_blocks, norm=norm, affine=affine)


def with_state(model: ResnetGenerator, state: Mapping[str, np.ndarray]) -> ResnetGenerator:
    """The network with the weights of a state dict, as the converter recognises it."""
    match = recognise({name: value.shape for name, value in state.items()}, LAYOUTS)
    sources = match.layout.sources
    model.load_weights([(name, mx.array(source.build(state.__getitem__))) for name, source in sources.items()])
    return model


@settings(max_examples=8)  # PyTorch is slow to build networks
@given(configs(), st.booleans(), st.sampled_from(["conv_block", "block"]), st.sampled_from([1, 2]))
def test_output_is_that_of_pytorch(config: ResnetGeneratorConfig, dropout: bool, block: str, batch: int) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import resnet_generator as twins

    torch.manual_seed(0)
    twin = twins.ResnetGenerator(
        config.input_nc, config.output_nc, config.ngf, config.n_blocks, config.affine, dropout, block, config.norm
    )
    for parameter in twin.parameters():
        torch.nn.init.normal_(parameter)
    for name, buffer in twin.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.nn.init.uniform_(buffer, 0.5, 2)
    state = {name: value.numpy() for name, value in twin.eval().state_dict().items()}
    model = with_state(ResnetGenerator(config), state)
    x = np.random.default_rng(0).standard_normal(model.inputs(batch)["x"]).astype(np.float32)
    with torch.inference_mode():
        expected = twin(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert error(np.asarray(model(mx.array(x))), expected) <= 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_trained_weights_give_pytorchs_picture(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from benchmarks.torch_models import resnet_generator as twins

    path, x = vintagify(), to_model(photographed(name, 256))
    tensors = checkpoint.state_dict(checkpoint.read(path)).tensors
    twin = twins.ResnetGenerator(affine=True, block_name="block")
    twin.load_state_dict({key: torch.from_numpy(np.array(tensor.numpy())) for key, tensor in tensors.items()})
    with torch.inference_mode():
        picture = twin.eval()(torch.from_numpy(np.array(x)).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert picture.std() > 0.2
    convert(path, tmp_path / "m")
    for device in ("cpu", "reference"):
        assert error(np.asarray(zoo.load(tmp_path / "m").engine(device)(x=x)), picture) <= 1e-4


def test_macs_and_parameters() -> None:
    """Of two convolutions of 7x7, two halving ones and their opposites, and the blocks."""
    model = ResnetGenerator(ResnetGeneratorConfig(affine=True))
    graph = trace(model, model.inputs())
    ends, steps, blocks = 2 * 49 * 3 * 64 * 256**2, 4 * 9 * 64 * 128 * 128**2, 18 * 9 * 256**2 * 64**2
    assert sum(map(graph.macs, graph.nodes)) == ends + steps // 2 + steps // 2 + blocks
    assert sum(p.size for p in parameters(model).values()) == CHECKPOINT_SIZE


@given(configs())
def test_any_configuration_can_be_traced(config: ResnetGeneratorConfig) -> None:
    model = ResnetGenerator(config)
    graph = trace(model, model.inputs())
    assert graph.nodes[graph.output].shape == (1, *config.image_size, config.output_nc)
    assert {path for node in graph.nodes for path in node.params.values()} == set(parameters(model))


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(("n_blocks", "norm"), [(0, "instance"), (1, "instance"), (2, "instance"), (2, "batch")])
def test_executors_agree_on_edits(n_blocks: int, norm: str, output: Output) -> None:
    model = configured_blocks(n_blocks, norm)
    load = zoo.random_weights(model)
    rng = np.random.default_rng(0)
    x = rng.standard_normal(model.inputs()["x"]).astype(np.float32)
    mask = np.zeros(TRANSLATION_CONFIG.image_size, np.bool_)
    mask[9:15, 20:25] = True
    edited = np.where(mask[..., None], rng.standard_normal(x.shape).astype(np.float32), x)
    outputs = []
    for device in ("cpu", "reference"):
        engine = Engine(model, device, policy_of(model.config, output=output), load=load)
        recorded = engine.record(x=x)
        outputs.append([np.asarray(o) for o in (recorded, engine.edit(engine.prepare(mask), x=edited))])
    (recorded, found), (expected_recorded, expected) = outputs
    assert error(recorded, expected_recorded) <= 1e-5 and error(found, expected) <= 1e-5
    assert error(found[:, mask], recorded[:, mask]) > 0.01


def configured_blocks(n_blocks: int, norm: str) -> ResnetGenerator:
    size, affine = TRANSLATION_CONFIG.image_size, norm == "batch"
    config = ResnetGeneratorConfig(size, ngf=8, n_blocks=n_blocks, norm=norm, affine=affine)
    return ResnetGenerator(config)


def test_everything_is_in_tiles_and_keeps_its_statistics() -> None:
    lowered = Lowered.of(ResnetGenerator(TRANSLATION_CONFIG), policy_of(TRANSLATION_CONFIG))
    assert not lowered.regions.fresh
    assert lowered.planes == lowered.edit.planes == [(32, 48), (16, 24), (8, 12)]


def test_families_are_built_from_json() -> None:
    model = build("resnet_generator", {"image_size": [64, 96], "ngf": 4, "n_blocks": 6})
    assert isinstance(model, ResnetGenerator) and model.inputs(2) == {"x": (2, 64, 96, 3)}


def test_other_settings_are_another_network_only_if_parameters_are() -> None:
    model = ResnetGenerator(TRANSLATION_CONFIG)
    larger = reconfigured(model, image_size=(64, 64))
    assert larger.config.image_size == (64, 64) and larger.config.ngf == TRANSLATION_CONFIG.ngf
    with pytest.raises(SigeError, match=r"^the weights are those of another network than n_blocks=3 asks for$"):
        reconfigured(model, n_blocks=3)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"image_size": 256}, r"^image_size is 256: it should be a list, such as \[256\]$"),
        ({"image_size": [8, 8, 3]}, r"image_size is \(8, 8, 3\)"),
        ({"image_size": [300, 510]}, r"a picture of 510×300 pixels .*; its sides must be multiples of 4, 8 or more$"),
        ({"image_size": [4, 64]}, r"a picture of 64×4 pixels"),
        ({"ngf": 0}, r"input_nc is 3, output_nc 3 and ngf 0; they must be 1 or more$"),
        ({"input_nc": 0}, r"input_nc is 0"),
        ({"output_nc": -1}, r"output_nc -1"),
        ({"n_blocks": -1}, r"n_blocks is -1; it must be 0 to 1000$"),
        ({"norm": "layer"}, r"norm is 'layer'; it is instance or batch$"),
        ({"norm": "batch"}, r"norm is 'batch', which has weights and biases: affine must be true$"),
    ],
)
def test_wrong_configurations_are_refused(config: Any, sentence: str) -> None:
    with pytest.raises(SigeError, match=sentence):
        build("resnet_generator", config)
