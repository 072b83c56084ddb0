"""What sessions ask of a network."""

from sige_mlx.engine import Engine
from sige_mlx.errors import SigeError


def check_pictures(engine: Engine, *inputs: str) -> None:
    """Raises `SigeError` unless the network reads and writes pictures, which have 3 channels, and takes `inputs`."""
    graph = engine.plan.graph
    read, written = (graph.nodes[i].shape[-1] for i in (graph.inputs["x"], graph.output))
    if (read, written) != (3, 3):
        raise SigeError(f"this network reads {read} channels and writes {written}: pictures need 3 and 3")
    if set(graph.inputs) != set(inputs):
        raise SigeError(f"this network takes {', '.join(graph.inputs)}: one that takes {', '.join(inputs)} is wanted")
