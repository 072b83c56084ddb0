// Which elements of an 8x8 simdgroup_matrix a lane holds: two neighbours of one row.

#pragma once

namespace sige {

METAL_FUNC int lane_row(int lane) { return (lane / 4 & 4) + lane / 2 % 4; }

/// The first of the two columns.
METAL_FUNC int lane_column(int lane) { return (lane / 4 & 2) * 2 + lane % 2 * 2; }

} // namespace sige
