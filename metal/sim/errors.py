"""What goes wrong in a kernel, said in one sentence."""

from sige_mlx.errors import SigeError


class SimError(SigeError):
    """A kernel that Metal would refuse, or that would read or write what it must not: which kernel, what, and where."""

    def __init__(self, said: str):
        Exception.__init__(self, said)  # as it is: a compiler's message has lines, and kernels are our own text
