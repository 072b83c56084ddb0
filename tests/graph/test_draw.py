"""Pictures of graphs: every node and arrow is there, and the languages' own tools accept them."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given

from sige_mlx.graph.draw import graphviz, mermaid, scopes
from sige_mlx.graph.ir import Graph
from sige_mlx.graph.trace import trace
from sige_mlx.models.ddpm import DDPMConfig, DDPMUNet
from tests.graph.networks import RandomUNet, Spec, specs


def ddpm() -> Graph:
    model = DDPMUNet(DDPMConfig(image_size=32, ch=32, ch_mult=(1, 2), num_res_blocks=1, attn_resolutions=(16,)))
    return trace(model, model.inputs())


@given(specs())
def test_every_node_and_every_arrow_is_drawn(spec: Spec) -> None:
    graph = trace(model := RandomUNet(spec), model.inputs())
    arrows = {(i, n.index) for n in graph.nodes for i in n.inputs}
    for text, arrow in ((graphviz(graph), "->"), (mermaid(graph), "-->")):
        drawn = re.findall(rf"^ +n(\d+) {arrow} n(\d+)$", text, re.M)
        assert {(int(a), int(b)) for a, b in drawn} == arrows
        assert len(set(re.findall(r"^ +n(\d+) ?\[", text, re.M))) == len(graph.nodes)


def test_layers_are_framed_by_their_module() -> None:
    graph = ddpm()
    of = {node.name: scope for node, scope in zip(graph.nodes, scopes(graph), strict=True) if node.params}
    assert of["down.0.block.0.conv1"] == "down.0.block.0"
    assert of["mid.attn_1.q"] == "mid.attn_1"
    assert of["temb.dense.0"] == "temb"
    assert of["conv_in"] == "conv_in"
    assert 'subgraph s3["down.0.block.0"]' in mermaid(graph)
    assert 'label="down.0.block.0"' in graphviz(graph)


def test_operations_without_parameters_follow_their_module() -> None:
    graph = ddpm()
    of = scopes(graph)
    for node in graph.nodes:
        kind = type(node.op).__name__
        if kind == "Attention":
            assert ".attn" in of[node.index]
        if kind == "Concat":
            assert re.fullmatch(r"up\.\d\.block\.\d", of[node.index])
        if kind == "UpsampleNearest":
            assert re.fullmatch(r"up\.\d\.upsample", of[node.index])


def test_collapsed_modules_are_one_box() -> None:
    text = graphviz(ddpm(), collapse=True)
    boxes = re.findall(r'label="([^"\\]*)', text)
    assert boxes[:3] == ["x: Input", "t: Input", "TimestepEmbedding"]
    assert boxes[3:8] == ["temb", "conv_in", "down.0.block.0", "down.0.downsample", "down.1.block.0"]
    assert boxes[-2:] == ["norm_out", "conv_out"]
    assert len(boxes) == len(set(boxes)) == 21


def test_costs_are_in_units_that_suit_them() -> None:
    model = DDPMUNet(DDPMConfig())
    text = graphviz(trace(model, model.inputs()), collapse=True)
    assert r"down.0.block.0\n256×256×128\n19.3 GMACs" in text
    assert r"temb\n1×1×512\n0.328 MMACs" in text


def test_collapsed_pictures_have_no_cycle() -> None:
    for text, arrow in ((graphviz(ddpm(), True), "->"), (mermaid(ddpm(), True), "-->")):
        arrows = [(int(a), int(b)) for a, b in re.findall(rf"n(\d+) {arrow} n(\d+)", text)]
        assert len(arrows) == len(set(arrows))
        before: dict[int, set[int]] = {}
        for a, b in arrows:
            before.setdefault(b, set()).add(a)
        done: set[int] = set()
        while before.keys() - done:
            ready = {n for n in before.keys() - done if before[n] <= done | (before[n] - before.keys())}
            assert ready, "a cycle"
            done |= ready


def test_the_output_is_marked() -> None:
    assert graphviz(ddpm()).count("penwidth=2") == 1
    assert mermaid(ddpm()).count("stroke-width:3px") == 1


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
@pytest.mark.parametrize("collapse", [False, True])
def test_dot_accepts_it(collapse: bool) -> None:
    run = subprocess.run(
        ["dot", "-Tplain"], input=graphviz(ddpm(), collapse), capture_output=True, text=True, check=True
    )
    assert not run.stderr
    assert run.stdout.count("\nnode ") == graphviz(ddpm(), collapse).count("fillcolor=")
