"""Mistakes that could be made in the kernels, each a text of a file of `metal/` in place of another, and the call that
must tell: the name of its maker in `draw.py`. Where lines are broken does not matter to where it is found."""

from __future__ import annotations

import re
from dataclasses import dataclass

BARRIER = "metal::threadgroup_barrier(metal::mem_flags::mem_threadgroup);"


@dataclass(frozen=True)
class Mutant:
    file: str
    old: str
    new: str
    probe: str
    plain_to_see: bool = True
    """Every small input of a trial shows it."""

    def __str__(self) -> str:
        return f"{self.file}: {self.old.splitlines()[0]}"

    def made_in(self, text: str) -> str:
        """The text of the file with the mistake in it, at the first place that fits."""
        found = re.search(r"\s+".join(map(re.escape, self.old.split())), text)
        assert found, f"{self.file} has no {self.old!r}: say where the mistake is made now"
        return text[: found.start()] + self.new + text[found.end() :]


def dropped_barrier(file: str, after: str, probe: str) -> Mutant:
    """The barrier that follows a text."""
    return Mutant(file, f"{after}\n{BARRIER}", after, probe)


MUTANTS = [
    # barriers
    dropped_barrier("conv/conv.h", "loader.put(window, first * 8);", "plain"),
    dropped_barrier("conv/conv.h", "group++; } }", "plain"),
    dropped_barrier("conv/conv.h", "lane_column(lane); }", "plain"),
    dropped_barrier("conv/conv.h", "lane, i > 0); }", "concatenation"),
    dropped_barrier("conv/narrow.h", "loader.put(window, first * 8);", "narrow"),
    dropped_barrier("conv/narrow.h", "(group - first) * 8); } }", "narrow"),
    dropped_barrier("epilogue.h", "p->out.tile * p->out.tile;", "plain"),
    dropped_barrier("depthwise/depthwise.h", "loader.put(window, first_channel);", "depthwise"),
    dropped_barrier("norm/norm.h", "partial[thread_index / 32] = x; }", "norm"),
    dropped_barrier("norm/norm.h", "sum += partial[i]; }", "norm"),
    dropped_barrier("attention/attention.h", "int c_first) {", "attention"),
    dropped_barrier("attention/attention.h", "PITCH + at) = value; }", "attention"),
    dropped_barrier("attention/attention.h", "= product[j].thread_elements()[e]; } }", "wide attention"),
    # where pixels are read
    Mutant("windows.h", "- s.pad_top + at", "- s.pad_top + 1 + at", "plain"),
    Mutant("windows.h", "step - s.pad_left + at", "step + at", "plain"),
    Mutant("windows.h", "height(step - s.stride + s.kh)", "height(step + s.kh)", "plain"),
    Mutant("conv/conv.h", "y * s.stride, x * s.stride", "y, x * s.stride", "strided"),
    Mutant("conv/conv.h", "y * s.stride, x * s.stride", "x * s.stride, y * s.stride", "strided"),
    Mutant(
        "conv/memory.h", "tap / s.kw * windows.width + tap % s.kw", "tap % s.kw * windows.width + tap / s.kw", "plain"
    ),
    Mutant("conv/conv.h", "y / 2 + y % 2 * shift", "y / 2", "phases"),
    Mutant("plane.h", "2 * (shown - 1) - at", "2 * shown - 1 - at", "plain"),
    Mutant("plane.h", "s.zeros && at % 2", "s.zeros && at % 2 == 0", "plain"),
    Mutant("plane.h", "y % p.tile) * p.tile + x % p.tile", "x % p.tile) * p.tile + y % p.tile", "plain"),
    Mutant("plane.h", "at << -resample : at >> resample", "at : at >> resample", "plain"),
    Mutant("paste/paste.h", "pixel / p.x.w % p.x.h", "pixel / p.x.h % p.x.w", "paste"),
    dropped_barrier("conv/winograd.h", "loader.put(numbers, group * 8);", "winograd"),
    dropped_barrier(
        "conv/winograd.h",
        "transform_line<COUNT>(numbers + FIRST * Layout::COLUMN + i, Layout::ROW); }",
        "winograd",
    ),
    dropped_barrier("conv/winograd.h", "transform<COUNT>();", "winograd"),
    dropped_barrier("conv/winograd.h", "multiply<COUNT / 4>(of_group + following * COUNT * K_STEP);", "winograd"),
    dropped_barrier("conv/winograd.h", "put(part);", "winograd"),
    dropped_barrier("conv/winograd.h", "= column[y]; } }", "winograd"),
    dropped_barrier(
        "conv/winograd.h",
        "transformed_output(numbers + i / Layout::POINT * Layout::ROW + i % Layout::POINT, Layout::COLUMN); }",
        "winograd",
    ),
    dropped_barrier("conv/winograd.h", "= values[n][x]; } }", "winograd"),
    # what is done to them
    Mutant("windows.h", "&& pixel.y == image()", "", "plain", plain_to_see=False),
    Mutant("windows.h", "x * scale + shift", "x + shift", "plain"),
    Mutant("windows.h", "image() * source->affine.image + c", "c", "plain"),
    Mutant("windows.h", "first_channel + thread_index % VECTORS * 4", "first_channel", "plain"),
    Mutant("activation.h", "metal::min(-x, LARGEST_EXPONENT)", "-x", "extreme", plain_to_see=False),
    Mutant("windows.h", "const bool raw = in_base(pixel.x) || source->mod.present;", "const bool raw = true;", "plain"),
    Mutant("windows.h", "const bool raw = in_base(pixel.x) ||", "const bool raw = !in_base(pixel.x) ||", "plain"),
    Mutant("windows.h", "arrays.affine, pixel.y, c, left", "arrays.affine, 0, c, left", "plain", plain_to_see=False),
    Mutant("vectors.h", "x * (1.0f + g) + b", "x * g + b", "modulated"),
    Mutant("vectors.h", "m.beta_first + c", "c", "modulated"),
    # sums of products
    Mutant("conv/conv.h", "k += (s.x.c + 7) / 8 * taps;", "k += taps;", "concatenation"),
    Mutant("conv/conv.h", "tap = slice % taps", "tap = 0", "concatenation"),
    Mutant("conv/conv.h", "own.first + slice / taps", "slice / taps", "shared"),
    Mutant("conv/conv.h", "first_k + own.first * taps + slice", "first_k + slice", "shared"),
    Mutant("conv/conv.h", "loader.fetch(own.first * 8);", "loader.fetch(0);", "shared"),
    Mutant("conv/conv.h", "+ channel % PANEL / 8 * FRAGMENT", "", "small"),
    Mutant("conv/share.h", "units * index / shares", "units / shares * index", "shared in fours"),
    Mutant("conv/share.h", "end(begin(channels, index + 1, shares))", "end(begin(channels, shares, shares))", "shared"),
    Mutant("conv/narrow.h", "? 0 : K_STEP;", "? 0 : FRAGMENT;", "narrow"),
    Mutant("conv/narrow.h", "weights == last ? 0 : K_STEP", "K_STEP", "narrow"),
    Mutant("conv/narrow.h", "weights + c * 8 + four * 4", "weights + four * 4", "narrow"),
    Mutant("conv/narrow.h", "weights + c * 8 + four * 4", "weights + c * 8", "narrow of six"),
    Mutant("conv/narrow.h", "fetch(first + c);", "fetch(c);", "narrow"),
    Mutant("conv/narrow.h", "if (FOURS > 1)", "if (FOURS > 2)", "narrow of six"),
    Mutant("conv/narrow.h", "rows.x(at) * s.stride", "rows.x(at)", "narrow pair"),
    Mutant("conv/winograd.h", "- 5.0f * x[3 * step]", "- 4.0f * x[3 * step]", "winograd"),
    Mutant("conv/winograd.h", "odd2 = 2.0f * (x3 - x1)", "odd2 = x3 - x1", "winograd of three"),
    Mutant("conv/winograd.h", "5 * quarter + n - 4", "5 * quarter + n - 3", "winograd"),
    Mutant("conv/winograd.h", "(6 * y + x) *", "(6 * x + y) *", "winograd of three"),
    Mutant("conv/winograd.h", "COUNT == POINTS ? 0 : 1", "0", "winograd of three"),
    Mutant(
        "conv/winograd.h", "fetch<COUNT / 4>(of_group + own.first", "fetch<COUNT / 4>(of_group + 0", "winograd shared"
    ),
    Mutant("conv/winograd.h", "group.x * p_.k_groups", "group.x * POINTS", "winograd"),
    Mutant("conv/winograd.h", "difference + 8.0f * difference2", "difference + 4.0f * difference2", "winograd"),
    Mutant("conv/winograd.h", "weights += (s.x.c + 7) / 8 * COUNT * K_STEP;", "", "winograd of three"),
    Mutant("conv/winograd.h", "first_channel + part * BN", "first_channel", "winograd"),
    Mutant("conv/winograd.h", "half_panel * TN + j == part", "j == part", "winograd"),
    Mutant(
        "conv/winograd.h",
        "pixel % POINTS * POINT + pixel / POINTS * 8",
        "pixel / POINTS * POINT + pixel % POINTS * 8",
        "winograd",
    ),
    Mutant("conv/conv.h", "phase() * p->panels + ", "", "phases"),
    Mutant("conv/mma.h", "fetch(k);\n#pragma", "#pragma", "plain"),
    Mutant("conv/mma.h", "fetch(second);", "fetch(first);", "plain"),
    Mutant("conv/mma.h", "next[j] = after[j];", "", "plain"),
    Mutant("conv/mma.h", "add ? to[1] + s", "add ? s", "concatenation"),
    Mutant("fragment.h", "(lane / 4 & 4) + lane / 2 % 4", "(lane / 4 & 4) + lane % 4", "plain"),
    Mutant("depthwise/depthwise.h", "sum / float(taps)", "sum", "pooling"),
    # shares and epilogues
    dropped_barrier("total/total.h", "first_tile, thread_index);", "total"),
    Mutant("total/total.h", "share < p->shares", "share < p->shares - 1", "total"),
    Mutant("total/total.h", "index * p->shares * p->epilogue.c_out", "index * p->epilogue.c_out", "total"),
    Mutant("epilogue.h", "at_pixel.index * shares + share", "at_pixel.index * shares", "shared"),
    Mutant("epilogue.h", "? float4(0.0f) : value(item);", "? value(item) : value(item);", "shared"),
    Mutant("epilogue.h", "affine4<VEC>(value(item), o", "affine4<VEC>(activate(value(item), o.act), o", "plain"),
    Mutant("epilogue.h", "inside ? v : float4(0.0f);", "v;", "plain"),
    Mutant("epilogue.h", "squares += v * v;", "squares += v;", "plain"),
    Mutant("epilogue.h", "values[rows.row(tile, i) * PITCH", "values[(tile * pixels_of_tile + i) * PITCH", "phases"),
    Mutant("epilogue.h", "at_pixel.image * p->vec_image + c", "c", "plain"),
    # statistics and attention
    Mutant("norm/norm.h", "mean * (2.0f * sum - mean * pixels)", "mean * (sum - mean * pixels)", "norm"),
    Mutant("norm/norm.h", "sum -= old[0]", "sum -= 0.0f", "followed norm"),
    Mutant("norm/norm.h", "square -= old[channels]", "square -= old[0]", "followed norm"),
    Mutant("norm/norm.h", "moments[(2 * image + which) *", "moments[(2 * image + 1 - which) *", "followed norm"),
    Mutant("norm/norm.metal", "moved * moved", "moved", "followed norm"),
    Mutant("norm/norm.h", "addend = addend * stretch", "addend = addend", "norm"),
    Mutant("attention/attention.h", "sum[i].thread_elements()[0] *= rescale;", "", "attention"),
    Mutant(
        "attention/attention.h", "simd_shuffle_xor(block_largest, 8)", "simd_shuffle_xor(block_largest, 4)", "attention"
    ),
    Mutant("attention/attention.h", "number * t.stride + t.first", "number * t.stride", "attention"),
    Mutant("attention/attention.h", "of_lane[i * BQ", "of_lane[slice * BQ", "wide attention"),
    Mutant("attention/attention.h", "c_first + slice * D + 8 * i", "c_first + 8 * i", "sliced attention"),
    Mutant("attention/attention.h", "PITCH + slice * D + 8 * i, PITCH);", "PITCH + 8 * i, PITCH);", "sliced attention"),
    Mutant("attention/attention.h", "if (widths > 1)", "if (widths > 2)", "wider attention"),
    Mutant("attention/attention.h", "total = total * rescale + block_total;", "total += block_total;", "attention"),
    Mutant("attention/attention.h", "lane_column(lane) + e < p->keys", "lane_column(lane) + e < BK * 99", "attention"),
]
