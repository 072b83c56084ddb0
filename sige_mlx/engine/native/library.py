"""This module finds and loads the native library. `cpu/sige_cpu.h` says what its functions and structs mean."""

import ctypes
import functools
import os
from ctypes import POINTER, c_char_p, c_double, c_int, c_int64, c_size_t, c_void_p
from importlib import resources
from pathlib import Path

from sige_mlx.engine.native.header import Header
from sige_mlx.errors import SigeError


def _folder() -> Path:
    # In an editable install the package is two folders, the checkout and the one that holds what was compiled.
    return Path(str(resources.files("sige_mlx").joinpath("_native")))


@functools.cache
def header() -> Header:
    """Returns what `sige_cpu.h` defines, which is installed beside the library."""
    return Header((_folder() / "sige_cpu.h").read_text("utf-8"))


def _path() -> Path:
    override = os.environ.get("SIGE_CPU_LIBRARY")
    if override:
        return Path(override)
    folder = _folder()
    files = [f for f in folder.iterdir() if f.name.startswith("libsige_cpu.")] if folder.is_dir() else []
    if not files:
        raise SigeError(f"the CPU library is missing from {folder}: install sige-mlx with pip, which builds it")
    return files[0]


@functools.cache
def library() -> ctypes.CDLL:
    """Loads the library.

    Raises `SigeError` when it is missing or of another version, or when the environment variable SIGE_CPU_ISA names an
    instruction set that cannot be used here.
    """
    path = _path()
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise SigeError(f"the CPU library {path} cannot be loaded: {error}") from error
    structs = header().structs
    if lib.sige_abi() != header().constants["SIGE_ABI"]:
        raise SigeError(f"the CPU library {path} belongs to another version of sige-mlx: reinstall the package")
    lib.sige_last_error.restype = lib.sige_simd.restype = lib.sige_isas.restype = c_char_p
    if lib.sige_simd() is None:
        raise SigeError(lib.sige_last_error().decode())
    lib.sige_pool_create.restype = lib.sige_compile.restype = lib.sige_bind.restype = c_void_p
    lib.sige_pool_create.argtypes = [c_int]
    for destroy in (lib.sige_pool_destroy, lib.sige_program_destroy, lib.sige_bound_destroy):
        destroy.argtypes, destroy.restype = [c_void_p], None
    lib.sige_use_blas.argtypes = [c_char_p]
    lib.sige_pool_threads.argtypes = [c_void_p]
    lib.sige_compile.argtypes = [POINTER(structs["sige_op"]), c_int, c_int, POINTER(c_int)]
    lib.sige_bind.argtypes = [c_void_p, POINTER(structs["sige_tiles"]), c_int]
    lib.sige_explain.argtypes = [c_void_p, c_int, POINTER(structs["sige_choice"])]
    lib.sige_run.argtypes = [c_void_p, c_void_p, c_void_p, POINTER(c_double)]
    lib.sige_spin.argtypes, lib.sige_spin.restype = [c_int64], c_double
    lib.sige_pack_size.restype = lib.sige_tile_bytes.restype = c_size_t
    lib.sige_pack_size.argtypes = [POINTER(structs["sige_conv"])]
    lib.sige_pack.argtypes, lib.sige_pack.restype = (
        [POINTER(structs["sige_conv"]), POINTER(structs["sige_weights"]), c_void_p],
        None,
    )
    return lib


def simd() -> str:
    """Returns the instruction set in use: avx512, avx2, neon or generic."""
    name: bytes = library().sige_simd()
    return name.decode()


def instruction_sets() -> list[str]:
    """Returns the library's instruction sets that this processor has, best first; SIGE_CPU_ISA may name one of them."""
    names: bytes = library().sige_isas()
    return names.decode().split(", ")
