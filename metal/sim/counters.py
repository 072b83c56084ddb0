"""What a launch did, in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .instrument import Block

MATRIX_FMAS = 8 * 8 * 8
TOTALS = 18
"""Length of the runtime's `Totals`, a struct of 64-bit numbers."""


@dataclass(frozen=True)
class Counters:
    """Sums over all threads of a launch. README.md says how each is counted."""

    threads: int
    threadgroups: int
    threadgroup_memory: int
    """Bytes of threadgroup memory of the threadgroup that used most."""
    device_bytes_read: int
    device_bytes_written: int
    constant_bytes_read: int
    threadgroup_bytes_read: int
    threadgroup_bytes_written: int
    device_read_transactions: int
    """Lines of 128 bytes, counted once per instruction of a simdgroup."""
    device_write_transactions: int
    device_lines_read: int
    """Lines of 128 bytes, counted once per launch: what a perfect cache would read."""
    device_lines_written: int
    atomics: int
    fmas: int
    """Fused multiply-adds, those of simdgroup matrices included."""
    float_operations: int
    integer_operations: int
    divisions: int
    """Of integers, by a number that is not known when the kernel is compiled."""
    special_functions: int
    """Of floats, quotients included."""
    simdgroup_multiplies: int
    """Products of 8x8 matrices."""
    simdgroup_functions: int
    """Reductions, shuffles, votes: once per simdgroup."""
    threadgroup_barriers: int
    """Once per threadgroup."""
    simdgroup_barriers: int


def counters(totals: Sequence[int], passes: np.ndarray, blocks: Sequence[Block]) -> Counters:
    """From the runtime's totals (runtime/recorder.h) and the passes `[workers, blocks]` through every block."""
    (device_read, device_written, constant_read, _, group_read, group_written, *rest) = totals
    (reads, writes, lines_read, lines_written, atomics, multiplies, functions, barriers, simd_barriers, *sizes) = rest
    memory, threads, groups = sizes
    by_block = passes.sum(axis=0).tolist()
    total = {
        name: sum(n * getattr(block, name) for n, block in zip(by_block, blocks, strict=True))
        for name in ("fmas", "float_operations", "integer_operations", "divisions", "special_functions")
    }
    return Counters(
        threads=threads,
        threadgroups=groups,
        threadgroup_memory=memory,
        device_bytes_read=device_read,
        device_bytes_written=device_written,
        constant_bytes_read=constant_read,
        threadgroup_bytes_read=group_read,
        threadgroup_bytes_written=group_written,
        device_read_transactions=reads,
        device_write_transactions=writes,
        device_lines_read=lines_read,
        device_lines_written=lines_written,
        atomics=atomics,
        fmas=total["fmas"] + MATRIX_FMAS * multiplies,
        float_operations=total["float_operations"],
        integer_operations=total["integer_operations"],
        divisions=total["divisions"],
        special_functions=total["special_functions"],
        simdgroup_multiplies=multiplies,
        simdgroup_functions=functions,
        threadgroup_barriers=barriers,
        simdgroup_barriers=simd_barriers,
    )
