"""A model of Metal on the host: compiles and runs the text that MLX would compile on a Mac. See README.md."""

from .counters import Counters
from .errors import SimError
from .run import Run, compiling, simulate
from .toolchain import compiler

__all__ = ["Counters", "Run", "SimError", "compiler", "compiling", "simulate"]
