"""Every published manifest: each tensor is taken once or listed as unused, and no name may be missing or another's."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sige_mlx import zoo
from sige_mlx.converters.families.reparametrised import Reparametrised
from sige_mlx.families import KNOWN
from tests.converters.families.recognition import (
    check_order_does_not_matter,
    check_permuted_names_do_not_fit,
    complaint,
    matched,
)
from tests.reference import load_manifest, manifest_names, require_reference

MANIFESTS = manifest_names()


def test_the_papers_networks_are_among_them() -> None:
    require_reference()
    wanted = {"ddpm-church-256", "pd-church-128", "pd-church-256", "gaugan-cityscapes", "gan-compression-cityscapes"}
    assert wanted <= set(MANIFESTS)


@pytest.mark.parametrize("name", [name for name in MANIFESTS if name in KNOWN])
def test_a_published_network_goes_by_its_name(name: str) -> None:
    match = matched(load_manifest(name))
    known = KNOWN[name][1]
    path = known.files[0].name if known.by_file else "net.pth"
    assert zoo.name_for(match.family, match.config, Path(path)) == name


@pytest.mark.parametrize("name", MANIFESTS)
def test_every_tensor_is_taken_once_or_listed_as_unused(name: str) -> None:
    manifest = load_manifest(name)
    layout = matched(manifest).layout
    assert layout.tensors == manifest
    taken: dict[str, list[tuple[int, int]]] = {tensor: [] for tensor in manifest}
    for source in layout.sources.values():
        assert not isinstance(source, Reparametrised)  # no manifest has one: its vectors would have to be counted
        for rows in source.rows:
            taken[rows.name].append((rows.start, rows.stop))
    for tensor, parts in taken.items():
        if tensor in layout.unused:
            assert not parts and tensor.endswith("num_batches_tracked")
            continue
        starts, stops = zip(*sorted(parts), strict=True)
        assert (0, *stops) == (*starts, manifest[tensor][0]), tensor


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_dropped_name_is_missed(name: str) -> None:
    manifest = load_manifest(name)
    tried = list(manifest) if name.endswith("-small") else random.Random(0).sample(list(manifest), 10)
    for tensor in tried:
        rest = {other: shape for other, shape in manifest.items() if other != tensor}
        assert complaint(rest).endswith(f"1 missing: {tensor}"), tensor


@pytest.mark.parametrize("name", MANIFESTS)
def test_names_that_changed_places_do_not_fit(name: str) -> None:
    check_permuted_names_do_not_fit(load_manifest(name))


@pytest.mark.parametrize("name", MANIFESTS)
def test_any_two_tensors_of_unlike_shapes_may_not_change_places(name: str) -> None:
    manifest, draw = load_manifest(name), random.Random(1)
    for _ in range(5):
        one, other = draw.sample(list(manifest), 2)
        swapped = {**manifest, one: manifest[other], other: manifest[one]}
        assert swapped == manifest or "mis-shaped" in complaint(swapped), (one, other)


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_files_order_does_not_matter(name: str) -> None:
    check_order_does_not_matter(load_manifest(name))
