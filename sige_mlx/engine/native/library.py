"""The native library: its structs, where it lies, and how it is loaded. `cpu/sige_cpu.h` says what everything means."""

import ctypes
import functools
import os
from ctypes import POINTER, c_char_p, c_double, c_float, c_int, c_int32, c_size_t, c_void_p
from importlib import resources
from pathlib import Path

from sige_mlx.errors import SigeError
from sige_mlx.graph.program import MAX_OUTPUTS, MAX_SOURCES

ABI = 4


def _int_fields(names: str) -> list[tuple[str, type]]:
    return [(name, c_int32) for name in names.split()]


class Tensor(ctypes.Structure):
    _fields_ = _int_fields("n h w c tile base blocks grid")


class Domain(ctypes.Structure):
    _fields_ = _int_fields("n h w tile tiles list")


class Modulation(ctypes.Structure):
    _fields_ = [("gamma", Tensor), ("beta", Tensor), *_int_fields("gamma_first beta_first")]


class Output(ctypes.Structure):
    _fields_ = [*_int_fields("dst scale shift stride act has_mod"), ("mod", Modulation)]


class Source(ctypes.Structure):
    _fields_ = [
        ("x", Tensor),
        *_int_fields("kh kw stride pad_top pad_left pad_mode resample zeros scale shift stride_affine act has_mod"),
        ("mod", Modulation),
    ]


class Conv(ctypes.Structure):
    _fields_ = [
        ("out", Domain),
        *_int_fields("c_out n_sources n_outputs weight bias vec vec_stride sums has_residual residual_resample"),
        ("residual", Tensor),
        ("source", Source * MAX_SOURCES),
        ("output", Output * MAX_OUTPUTS),
    ]


class Depthwise(ctypes.Structure):
    _fields_ = [
        ("out", Domain),
        *_int_fields("c n_outputs weight bias sums has_residual residual_resample"),
        ("residual", Tensor),
        ("source", Source),
        ("output", Output * MAX_OUTPUTS),
    ]


class Norm(ctypes.Structure):
    _fields_ = [
        *_int_fields("n pixels groups n_sources"),
        ("sums", c_int32 * MAX_SOURCES),
        ("tiles", c_int32 * MAX_SOURCES),
        ("c", c_int32 * MAX_SOURCES),
        *_int_fields("weight bias mod scale shift"),
        ("eps", c_float),
    ]


class Attention(ctypes.Structure):
    _fields_ = [
        ("out", Domain),
        *_int_fields("keys heads head_dim q k v dst q_stride k_stride v_stride"),
        ("scale", c_float),
    ]


class Paste(ctypes.Structure):
    _fields_ = [("x", Tensor), ("dst", c_int32)]


class Timestep(ctypes.Structure):
    _fields_ = [*_int_fields("n dim t out log_snr"), ("max_period", c_float)]


class _Union(ctypes.Union):
    _fields_ = [
        ("conv", Conv),
        ("norm", Norm),
        ("depthwise", Depthwise),
        ("attention", Attention),
        ("paste", Paste),
        ("timestep", Timestep),
    ]


class Op(ctypes.Structure):
    _fields_ = [("kind", c_int32), ("u", _Union)]


class Weights(ctypes.Structure):
    _fields_ = [("data", POINTER(c_float)), ("c_total", c_int32), ("c_first", c_int32)]


def _path() -> Path:
    override = os.environ.get("SIGE_CPU_LIBRARY")
    if override:
        return Path(override)
    # In an editable install the package is two folders, the checkout and the one that holds what was compiled.
    folder = resources.files("sige_mlx").joinpath("_native")
    files = [f for f in folder.iterdir() if f.name.startswith("libsige_cpu.")] if folder.is_dir() else []
    if not files:
        raise SigeError(f"the CPU library is missing from {folder}: install sige-mlx with pip, which builds it")
    return Path(str(files[0]))


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library.

    Raises `SigeError` when it is missing or of another version, or when the environment variable SIGE_CPU_ISA names an
    instruction set that cannot be used here.
    """
    path = _path()
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise SigeError(f"the CPU library {path} cannot be loaded: {error}") from error
    if lib.sige_abi() != ABI or _returns(lib.sige_op_size, c_size_t)() != ctypes.sizeof(Op):
        raise SigeError(f"the CPU library {path} belongs to another version of sige-mlx: reinstall the package")
    lib.sige_last_error.restype = lib.sige_simd.restype = lib.sige_isas.restype = c_char_p
    if lib.sige_simd() is None:
        raise SigeError(lib.sige_last_error().decode())
    lib.sige_pool_create.restype = c_void_p
    lib.sige_pool_create.argtypes = [c_int]
    lib.sige_pool_destroy.argtypes = [c_void_p]
    lib.sige_pool_threads.argtypes = [c_void_p]
    lib.sige_run.argtypes = [c_void_p, POINTER(Op), c_int, POINTER(c_void_p), c_int, POINTER(c_double)]
    lib.sige_pack_size.restype = c_size_t
    lib.sige_pack_size.argtypes = [POINTER(Conv)]
    lib.sige_pack.restype = None
    lib.sige_pack.argtypes = [POINTER(Conv), POINTER(Weights), c_void_p]
    return lib


def simd() -> str:
    """The instruction set in use: avx512, avx2, neon or generic."""
    name: bytes = library().sige_simd()
    return name.decode()


def instruction_sets() -> list[str]:
    """Those of the library that this processor has, best first: what SIGE_CPU_ISA may name."""
    names: bytes = library().sige_isas()
    return names.decode().split(", ")


def _returns(function: "ctypes._NamedFuncPointer", kind: type) -> "ctypes._NamedFuncPointer":
    function.restype = kind
    return function
