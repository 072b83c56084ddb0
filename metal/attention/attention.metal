// Attention of all pixels, or of those of active tiles, to all keys (attention.h).
//
// Inputs:  params, list, q, k, v
// Outputs: dst
// Grid:    (blocks of BQ queries, WIDTHs of all heads, images, or 1 where tiles are listed); one threadgroup each

using Kernel = sige::Attention<T, D, SLICES, VEC>;

threadgroup float4 memory[Kernel::MEMORY];

const device sige::AttentionParams *p = reinterpret_cast<const device sige::AttentionParams *>(params);
Kernel attention(*p, list, memory, threadgroup_position_in_grid, thread_index_in_threadgroup);
attention.run(q, k, v, dst);
