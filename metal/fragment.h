// A lane holds two neighbouring elements of one row of an 8x8 simdgroup_matrix; this header says which.

#pragma once

namespace sige {

METAL_FUNC int lane_row(int lane) { return (lane / 4 & 4) + lane / 2 % 4; }

/// Returns the first of the two columns.
METAL_FUNC int lane_column(int lane) { return (lane / 4 & 2) * 2 + lane % 2 * 2; }

} // namespace sige
