// This header finds pixels: coordinates, the tile table, and the arrays behind a plane.

#pragma once

#include "params.h"

namespace sige {

/// A plane has these arrays; those that `Plane` says are absent are never read.
template <typename T> struct PlaneArrays {
    const device T *base;
    const device T *blocks;
    const device int *grid;
};

template <typename T> struct ModulationArrays {
    PlaneArrays<T> gamma, beta;
};

/// A pixel is stored NOWHERE (it is zero), or at twice its number in its array, plus one when that is the base.
using Place = int;
constant constexpr Place NOWHERE = -1;

METAL_FUNC bool in_base(Place place) { return place & 1; }

/// Returns where pixel (y, x) of an image is; it must lie inside the plane.
METAL_FUNC Place locate(const device Plane &p, const device int *grid, int image, int y, int x) {
    if (p.has_blocks) {
        const int block = grid[(image * p.grid_h + y / p.tile) * p.grid_w + x / p.tile];
        if (block >= 0) {
            return 2 * ((block * p.tile + y % p.tile) * p.tile + x % p.tile);
        }
    }
    return p.has_base ? 2 * ((image * p.h + y) * p.w + x) + 1 : NOWHERE;
}

/// Returns the first channel of a pixel that is somewhere.
template <typename T>
METAL_FUNC const device T *at_place(const thread PlaneArrays<T> &arrays, Place place, int channels) {
    return (in_base(place) ? arrays.base : arrays.blocks) + (place >> 1) * channels;
}

/// Returns the coordinate that a source is read at, on the plane as it is seen, for one that may lie beyond its
/// borders; -1 says that there is nothing but zero. `size` is that of the plane as it is stored.
METAL_FUNC int seen(const device Source &s, int at, int size) {
    const int shown = s.resample < 0 ? size >> -s.resample : size << s.resample;
    if (s.reflect) {
        at = at < 0 ? -at : at;
        at = at >= shown ? 2 * (shown - 1) - at : at;
    }
    return at < 0 || at >= shown || (s.zeros && at % 2) ? -1 : at;
}

/// Returns the coordinate where what is seen at `at` is stored.
METAL_FUNC int stored(int at, int resample) { return resample < 0 ? at << -resample : at >> resample; }

/// A tile of a domain has a number, an image, and a place among the tiles.
struct Tile {
    int index, image, row, column;

    /// Says whether the tile only fills up the list, or lies beyond its end.
    METAL_FUNC bool absent() const { return image < 0; }
};

METAL_FUNC Tile tile_of(const device Domain &d, const device int *list, int index) {
    if (index >= d.tiles) {
        return {index, -1, 0, 0};
    }
    if (d.listed) {
        return {index, list[3 * index], list[3 * index + 1], list[3 * index + 2]};
    }
    const int row = index / d.grid_w;
    return {index, row / d.grid_h, row % d.grid_h, index % d.grid_w};
}

/// An op computes this pixel: its number is that in the array that is written (negative: it is not written); the rest
/// says where it is. A pixel of a tile that lies outside the image has y = OUTSIDE: it is written as zero.
struct Pixel {
    int index, image, y, x;

    METAL_FUNC bool outside() const { return y < 0; }
};

constant constexpr int OUTSIDE = -1;

/// Threadgroup memory keeps a pixel so.
METAL_FUNC int4 packed(Pixel p) { return {p.index, p.image, p.y, p.x}; }
METAL_FUNC Pixel unpacked(int4 p) { return {p.x, p.y, p.z, p.w}; }

METAL_FUNC Pixel pixel_of(const device Domain &d, Tile tile, int row, int column) {
    const int y = tile.row * d.tile + row, x = tile.column * d.tile + column;
    const bool outside = y >= d.h || x >= d.w;
    if (tile.absent() || (outside && !d.listed)) {
        return {-1, 0, OUTSIDE, 0};
    }
    const int index = d.listed ? (tile.index * d.tile + row) * d.tile + column : (tile.image * d.h + y) * d.w + x;
    return {index, tile.image, outside ? OUTSIDE : y, x};
}

} // namespace sige
