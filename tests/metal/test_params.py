"""The argument layout, as Python reads it from `metal/params.h`."""

from __future__ import annotations

import numpy as np
import pytest

from sige_mlx.engine.gpu.structs import layouts, pack


def test_members_follow_one_another() -> None:
    words = np.asarray(pack("Domain", {"n": 1, "h": 2, "w": 3, "tile": 4, "grid_h": 5, "grid_w": 6, "tiles": 7}))
    assert words.dtype == np.int32 and words.tolist() == [1, 2, 3, 4, 5, 6, 7, 0]
    assert [m.name for m in layouts()["Domain"]] == ["n", "h", "w", "tile", "grid_h", "grid_w", "tiles", "listed"]


def test_structs_nest_and_repeat() -> None:
    plane = len(layouts()["Plane"])
    words = np.asarray(pack("NormParams", {"eps": 0.5, "sums": [{"h": 7}, {"h": 8}]}))
    before = [m.name for m in layouts()["NormParams"]].index("sums")
    assert len(words) == before + 4 * plane
    assert words[before - 1 : before].view(np.float32) == 0.5
    assert words[before] == 7 and words[before + plane] == 8 and not words[before + 2 * plane :].any()


def test_mistakes() -> None:
    with pytest.raises(KeyError, match="Plane has no height"):
        pack("Plane", {"height": 1})
    with pytest.raises(ValueError, match=r"NormParams.sums holds 4, not 5"):
        pack("NormParams", {"sums": [{}] * 5})
