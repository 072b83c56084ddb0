// A plane with its blocks pasted over its base (paste.h).
//
// Inputs:  params, x_base, x_blocks, x_grid
// Outputs: dst
// Grid:    (groups of four channels, pixels); one thread each

const device sige::PasteParams *p = reinterpret_cast<const device sige::PasteParams *>(params);
sige::paste<T, VEC>(*p, {x_base, x_blocks, x_grid}, dst, thread_position_in_grid.xy);
