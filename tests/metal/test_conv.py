"""The convolution kernel against plain MLX."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from hypothesis import given

from sige_mlx.engine.gpu import twins
from sige_mlx.engine.gpu.calls import Conv
from sige_mlx.engine.gpu.kernels import conv
from sige_mlx.engine.gpu.launch import Simulated
from tests.metal.compare import assert_same
from tests.metal.draw import convs


@given(convs())
def test_float32(call: Conv) -> None:
    shape = conv.shape(call)
    if shape is None:
        assert call.out.tile >= 1
        return
    assert_same(Simulated().run(conv.launch(call, shape)), twins.conv(call), call.out, 1e-10)
