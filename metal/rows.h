// This header says which pixel of which tile each of the BM rows of a threadgroup is. Rows that are left over when
// whole tiles do not fill BM are not used.

#pragma once

namespace sige {

/// Rows are in the order of tiles, each row by row.
template <int BM> struct TileRows {
    const int side;

    METAL_FUNC explicit TileRows(int side_) : side(side_) {}

    METAL_FUNC int area() const { return side * side; }
    METAL_FUNC int tiles() const { return BM / area(); }
    METAL_FUNC bool used(int row) const { return row < tiles() * area(); }
    METAL_FUNC int tile(int row) const { return row / area(); }
    METAL_FUNC int y(int row) const { return row % area() / side; }
    METAL_FUNC int x(int row) const { return row % area() % side; }

    /// The row of a tile's i-th pixel.
    METAL_FUNC int row(int tile, int i) const { return tile * area() + i; }
};

/// Rows are in the order of phases, the parities (y % 2, x % 2) of a pixel: a quarter of the rows for each of the four,
/// and in it tile after tile.
template <int BM> struct PhaseRows {
    static constant constexpr const int QUARTER = BM / 4;

    const int side; // pixels of one phase in a row of a tile

    METAL_FUNC explicit PhaseRows(int tile_side) : side(tile_side / 2) {}

    METAL_FUNC int area() const { return side * side; }
    METAL_FUNC int tiles() const { return QUARTER / area(); }
    METAL_FUNC bool used(int row) const { return row % QUARTER < tiles() * area(); }
    METAL_FUNC int tile(int row) const { return row % QUARTER / area(); }
    METAL_FUNC int y(int row) const { return row % QUARTER % area() / side * 2 + row / QUARTER / 2; }
    METAL_FUNC int x(int row) const { return row % QUARTER % area() % side * 2 + row / QUARTER % 2; }

    /// The row of a tile's i-th pixel, phase after phase.
    METAL_FUNC int row(int tile, int i) const { return i / area() * QUARTER + tile * area() + i % area(); }
};

} // namespace sige
