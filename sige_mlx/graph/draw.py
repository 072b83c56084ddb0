"""This module draws a graph as text: in Mermaid for Markdown pages, in Graphviz for `dot`."""

from dataclasses import dataclass

from sige_mlx.graph.ir import Graph, Input, Node
from sige_mlx.nn import ops

COLOURS: dict[type[ops.Op], str] = {
    ops.Convolution: "#cfe2f3",
    ops.Norm: "#d9ead3",
    ops.Modulate: "#d9ead3",
    ops.Attention: "#f4cccc",
    ops.Add: "#fff2cc",
    ops.Concat: "#fff2cc",
    Input: "#d9d9d9",
}
"""Boxes of these classes of operations are filled with a colour; others are white."""


@dataclass(frozen=True)
class Box:
    """A box stands for a node, or in a collapsed picture for all nodes of a module. `lines` are its label."""

    lines: tuple[str, ...]
    scope: str
    colour: str
    output: bool


@dataclass(frozen=True)
class Picture:
    """A picture has boxes, in execution order, and arrows from one position among them to another."""

    boxes: tuple[Box, ...]
    arrows: tuple[tuple[int, int], ...]


def graphviz(graph: Graph, collapse: bool = False) -> str:
    """Draws the graph in Graphviz' language. Modules are frames around their layers; with `collapse`, every module is
    one box. `dot -Tpng` or `dot -Tsvg` render it."""
    picture = _picture(graph, collapse)
    lines = [
        "digraph {",
        '  node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=10]',
        '  graph [fontname="Helvetica", fontsize=10, color="#999999"]',
    ]
    for number, (scope, members) in enumerate(_by_scope(picture, collapse).items()):
        indent = "  "
        framed = scope and len(members) > 1
        if framed:
            lines += [f"  subgraph cluster_{number} {{", f'    label="{scope}"']
            indent = "    "
        for i in members:
            box = picture.boxes[i]
            label = r"\n".join(box.lines)
            border = ", penwidth=2" if box.output else ""
            lines.append(f'{indent}n{i} [label="{label}", fillcolor="{box.colour}"{border}]')
        lines += ["  }"] if framed else []
    lines += [f"  n{a} -> n{b}" for a, b in picture.arrows]
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(graph: Graph, collapse: bool = False) -> str:
    """Draws the graph as a Mermaid flowchart, with frames and boxes as in `graphviz`."""
    picture = _picture(graph, collapse)
    lines = ["flowchart TD"]
    for number, (scope, members) in enumerate(_by_scope(picture, collapse).items()):
        indent = "  "
        framed = scope and len(members) > 1
        if framed:
            lines.append(f'  subgraph s{number}["{scope}"]')
            indent = "    "
        for i in members:
            box = picture.boxes[i]
            lines.append(f'{indent}n{i}["{"<br/>".join(box.lines)}"]')
            lines.append(f"{indent}style n{i} fill:{box.colour}{',stroke-width:3px' if box.output else ''}")
        lines += ["  end"] if framed else []
    lines += [f"  n{a} --> n{b}" for a, b in picture.arrows]
    return "\n".join(lines) + "\n"


def scopes(graph: Graph) -> list[str]:
    """Returns for each node the path of the module that it belongs to. That is a layer's parent (`down.0.block.1`), or
    the layer itself at the top level. An operation without parameters belongs to the module of its latest input; one
    that only gathers what a layer will read belongs to that layer's module. Inputs have no module."""
    readers = graph.consumers()
    of = [_module(node.name) if node.params else "" for node in graph.nodes]
    gathers = [isinstance(node.op, ops.Rearrangement) for node in graph.nodes]
    for node in reversed(graph.nodes):
        if gathers[node.index]:
            of[node.index] = next((of[i] for i in readers[node.index] if of[i]), "")
    for node in graph.nodes:
        if not of[node.index] and node.inputs:
            of[node.index] = of[max(node.inputs)]
    return of


def _module(layer: str) -> str:
    """`down.0.block.1.conv1` is in `down.0.block.1`; an item of a list, `temb.dense.0`, is in the list's module."""
    parts = layer.split(".")
    parent = parts[:-2] if parts[-1].isdigit() else parts[:-1]
    return ".".join(parent or parts)


def _picture(graph: Graph, collapse: bool) -> Picture:
    """Makes a box of every node, or of all nodes of a scope that are no inputs."""
    scope_of = scopes(graph)
    members: dict[object, list[Node]] = {}
    for node in graph.nodes:
        scope = scope_of[node.index]
        members.setdefault(scope if collapse and scope else node.index, []).append(node)
    box_of = {node.index: i for i, nodes in enumerate(members.values()) for node in nodes}
    arrows = dict.fromkeys((box_of[i], box_of[n.index]) for n in graph.nodes for i in n.inputs)
    boxes = tuple(_box(graph, nodes, scope_of, collapse) for nodes in members.values())
    return Picture(boxes, tuple((a, b) for a, b in arrows if a != b))


def _box(graph: Graph, nodes: list[Node], scope_of: list[str], collapse: bool) -> Box:
    last, scope = nodes[-1], scope_of[nodes[-1].index]
    shape = "×".join(map(str, last.shape[1:])) or "1"
    macs = sum(graph.macs(n) for n in nodes)
    cost = [f"{macs / 1e9:.3g} GMACs"] if macs >= 1e9 else [f"{macs / 1e6:.3g} MMACs"] if macs else []
    output = any(n.index == graph.output for n in nodes)
    if collapse and scope:
        return Box((scope, shape, *cost), scope, "#cfe2f3" if macs else "#ffffff", output)
    kind = type(last.op).__name__
    name = last.op.name if isinstance(last.op, Input) else last.name.removeprefix(f"{scope}.")
    lines = (name, shape) if name == kind else (f"{name}: {kind}", shape)
    colour = next((colour for of, colour in COLOURS.items() if isinstance(last.op, of)), "#ffffff")
    return Box((*lines, *cost), scope, colour, output)


def _by_scope(picture: Picture, collapse: bool) -> dict[str, list[int]]:
    """Sorts the boxes by the frame that they are drawn in; "" is no frame."""
    frames: dict[str, list[int]] = {}
    for i, box in enumerate(picture.boxes):
        frames.setdefault("" if collapse else box.scope, []).append(i)
    return frames
