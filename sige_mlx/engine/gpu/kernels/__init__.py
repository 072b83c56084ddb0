"""Calls as launches of Metal kernels: one file per kernel of `metal/`."""

from sige_mlx.engine.gpu.calls import Attention, Call, Conv, Depthwise, Norm
from sige_mlx.engine.gpu.kernels import attention, conv, depthwise, norm, paste
from sige_mlx.engine.gpu.launch import MAX_BUFFERS, Launch


def launch(call: Call, like: Launch | None = None) -> Launch | None:
    """The launch that computes what `twins.run` does, in the shape of the launch `like` if that is given; None where a
    call is beyond what the kernels take."""
    shape = None if like is None else like.shape
    made: Launch | None
    if isinstance(call, Conv):
        made = conv.launch(call, shape)
    elif isinstance(call, Depthwise):
        made = depthwise.launch(call, shape)
    elif isinstance(call, Norm):
        made = norm.launch(call)
    elif isinstance(call, Attention):
        made = attention.launch(call)
    else:
        made = paste.launch(call)
    return made if made is None or len(made.inputs) + len(made.outputs) <= MAX_BUFFERS else None
