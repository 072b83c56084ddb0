"""What goes wrong in a kernel, said in one sentence."""


class SimError(Exception):
    """A kernel that Metal would refuse, or that would read or write what it must not: which kernel, what, and where."""
