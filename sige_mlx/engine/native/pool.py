"""A pool has the threads that run programs, and the scratch memory that all programs of an engine share."""

import threading
import weakref

import numpy as np
import numpy.typing as npt

from sige_mlx.engine.native import blas
from sige_mlx.engine.native.library import library
from sige_mlx.engine.native.weights import aligned
from sige_mlx.errors import SigeError


class Pool:
    """It has `threads` threads, 0: one per (fast) processor, and a block of memory. Who runs a program holds `lock`."""

    def __init__(self, threads: int = 0):
        lib = library()
        blas.in_use()
        self.handle = lib.sige_pool_create(threads)
        if not self.handle:
            raise SigeError(f"{threads} threads could not be started")
        weakref.finalize(self, lib.sige_pool_destroy, self.handle)
        self.threads: int = lib.sige_pool_threads(self.handle)
        self.lock = threading.Lock()
        self._scratch = aligned(0)

    def scratch(self, nbytes: int) -> npt.NDArray[np.uint8]:
        """Returns at least `nbytes` of memory, whose content the next program overwrites."""
        if self._scratch.nbytes < nbytes:
            self._scratch = aligned(nbytes)
        return self._scratch
