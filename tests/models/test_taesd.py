"""The tiny autoencoders through the graph compiler, and what sizes they refuse."""

from __future__ import annotations

import mlx.core as mx
import pytest

from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError
from sige_mlx.models.taesd import TinyAutoencoderConfig, TinyDecoder, TinyEncoder

SMALL = TinyAutoencoderConfig((64, 96), latent_channels=4, width=8)


@pytest.mark.parametrize("device", ["cpu", "reference"])
@pytest.mark.parametrize("kind", [TinyDecoder, TinyEncoder])
def test_executors_run_what_the_module_computes(kind: type[TinyDecoder | TinyEncoder], device: str) -> None:
    network = kind(SMALL)
    mx.eval(network.parameters())
    x = mx.random.normal(network.inputs()["x"])
    dense = network(x)
    assert float(dense.std()) > 1e-3
    assert mx.allclose(Engine(network, device=device)(x=x), dense, atol=1e-5)


def test_an_eighth_of_the_picture_and_back() -> None:
    assert TinyEncoder(SMALL)(mx.zeros((1, 64, 96, 3))).shape == (1, 8, 12, 4)
    assert TinyDecoder(SMALL)(mx.zeros((1, 8, 12, 4))).shape == (1, 64, 96, 3)


def test_sizes_that_it_has_not_are_refused() -> None:
    with pytest.raises(SigeError, match="a picture of 96×60 pixels"):
        TinyAutoencoderConfig((60, 96))
    with pytest.raises(SigeError, match="width 0; they must be 1 or more"):
        TinyAutoencoderConfig(width=0)
