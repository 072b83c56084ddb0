#include "units.h"

sige_units sige_units_of(const sige_domain *domain, const int32_t *rows, bool tile_matters) {
    sige_units u = {.domain = domain, .listed = domain->list != SIGE_NONE, .list = rows};
    u.tile = u.listed || tile_matters ? domain->tile : SIGE_UNIT;
    u.tiles_y = (int)sige_ceil_div(domain->h, u.tile);
    u.tiles_x = (int)sige_ceil_div(domain->w, u.tile);
    u.side = sige_min(u.tile, SIGE_UNIT);
    u.per_edge = (int)sige_ceil_div(u.tile, u.side);
    u.tiles = u.listed ? domain->tiles : (int64_t)domain->n * u.tiles_y * u.tiles_x;
    u.count = u.tiles * u.per_edge * u.per_edge;
    u.down = u.tiles_y * u.per_edge;
    u.across = u.tiles_x * u.per_edge;
    return u;
}

/* Returns part (down, right) of a tile, which is the number-th of all. */
static sige_unit part_of(const sige_units *u, int64_t number, int image, int tile_y, int tile_x, int down, int right) {
    const sige_domain *d = u->domain;
    const int in_y = down * u->side, in_x = right * u->side;
    sige_unit unit = {.image = image, .y = tile_y * u->tile + in_y, .x = tile_x * u->tile + in_x};
    unit.index = (number * u->per_edge + down) * u->per_edge + right;
    unit.full_h = sige_min(u->side, u->tile - in_y), unit.full_w = sige_min(u->side, u->tile - in_x);
    unit.h = sige_min(unit.full_h, d->h - unit.y), unit.w = sige_min(unit.full_w, d->w - unit.x);
    if (unit.h <= 0 || unit.w <= 0)
        unit.h = unit.w = 0;
    if (u->listed) {
        unit.at = (number * u->tile + in_y) * u->tile + in_x;
        unit.row = u->tile;
    } else {
        unit.at = ((int64_t)image * d->h + unit.y) * d->w + unit.x;
        unit.row = d->w;
    }
    return unit;
}

sige_unit sige_unit_listed(const sige_units *u, int64_t index) {
    const int64_t tile = index / (u->per_edge * u->per_edge);
    const int part = (int)(index % (u->per_edge * u->per_edge));
    const int32_t *entry = u->list + 3 * tile;
    return part_of(u, tile, entry[0], entry[1], entry[2], part / u->per_edge, part % u->per_edge);
}

sige_unit sige_unit_at(const sige_units *u, int image, int row, int column) {
    const int tile_y = row / u->per_edge, tile_x = column / u->per_edge;
    const int64_t tile = ((int64_t)image * u->tiles_y + tile_y) * u->tiles_x + tile_x;
    return part_of(u, tile, image, tile_y, tile_x, row % u->per_edge, column % u->per_edge);
}
