"""A fast BLAS for MLX on Linux, where the system has one.

MLX's Linux wheel bundles the reference BLAS: 2 to 5 GFLOPS. Symbols of a library that was loaded globally before MLX
win over it, so loading OpenBLAS first makes MLX, the oracle of most tests, at least 15 times as fast. No test needs it;
SIGE_TEST_BLAS=mlx leaves MLX its own, as on a machine without OpenBLAS.
"""

import ctypes
import ctypes.util
import functools
import os
import sys


@functools.cache
def preload_openblas() -> str | None:
    """Loads the system's OpenBLAS and returns its name; or None where MLX keeps its own, or there is none.

    Raises RuntimeError the first time if MLX is already imported: it is then bound to its own BLAS for good.
    """
    if sys.platform != "linux" or os.environ.get("SIGE_TEST_BLAS") == "mlx":
        return None
    if "mlx.core" in sys.modules:
        raise RuntimeError("OpenBLAS must be loaded before mlx.core is imported, or MLX keeps its slow BLAS")
    name = ctypes.util.find_library("openblas")
    if name is not None:
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    return name
