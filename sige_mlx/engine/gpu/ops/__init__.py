"""The ops of programs on the GPU: one file each, and the files that convolutions share."""

from sige_mlx.engine.gpu.ops.attention import Attention
from sige_mlx.engine.gpu.ops.call import Arrangement, Call
from sige_mlx.engine.gpu.ops.conv import Conv
from sige_mlx.engine.gpu.ops.depthwise import Depthwise
from sige_mlx.engine.gpu.ops.norm import Norm
from sige_mlx.engine.gpu.ops.paste import Paste
from sige_mlx.engine.gpu.ops.total import Total
from sige_mlx.graph import program as p

CALLS: dict[type[p.ProgramOp], type[Call]] = {
    p.Attention: Attention,
    p.Conv: Conv,
    p.Depthwise: Depthwise,
    p.Norm: Norm,
    p.Paste: Paste,
}
"""What runs each op of a program."""

__all__ = ["CALLS", "Arrangement", "Attention", "Call", "Conv", "Depthwise", "Norm", "Paste", "Total"]
