"""Executors agree on whole networks of random shape, and edits of known ones on the picture."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sige_mlx import families, zoo
from sige_mlx.benchmark.blob import blob_mask
from sige_mlx.benchmark.workload import workload
from sige_mlx.engine import Engine
from sige_mlx.families import build
from sige_mlx.graph.policy import EditPolicy
from sige_mlx.metrics import psnr
from tests.engine.rounding import assert_agree
from tests.graph.networks import RandomUNet, Spec, masks, specs


@given(st.data(), specs(), st.sampled_from([1, 2]), st.sampled_from([1, 5, 8, 10, 21]), st.integers(1, 8))
def test_random_networks(data: st.DataObject, spec: Spec, batch: int, tiles_from: int, tile: int) -> None:
    mask = data.draw(masks(spec.height, spec.width))
    assert_agree(RandomUNet(spec), mask, batch=batch, tiles_from=tiles_from, tile=tile)


def test_edits_of_gan_compression_are_the_dense_pass() -> None:
    """All that reaches beyond an edit are norms over the whole picture, whose statistics follow it."""
    family = families.FAMILIES["sub_mobile_spade"]
    model = build("sub_mobile_spade", {**family.small[0], "crop_size": 128})

    def likeness(policy: EditPolicy) -> float:
        engine = Engine(model, "cpu", policy, load=zoo.random_weights(model))
        scene, mask = workload(engine), blob_mask(engine.image_size, 5, policy.dilation)
        engine.record(**scene.original)
        inputs, prepared = scene.edited(mask), engine.prepare(mask)
        assert prepared.macs < 0.4 * engine.macs
        edited, dense = (np.asarray(x)[0] for x in (engine.edit(prepared, **inputs), engine(**inputs)))
        return float(psnr(edited, dense, 2, mask))

    assert likeness(family.policy(model.config)) > 70
    assert likeness(family.released(model.config)) < 40
