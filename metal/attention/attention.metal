// Attention of all pixels, or of those of active tiles, to all keys (attention.h).
//
// Inputs:  params, list, q, k, v
// Outputs: dst
// Grid:    (blocks of 32 queries, slices of D channels of all heads, images, or 1 where tiles are listed); one
// threadgroup of 128 each

using Kernel = sige::Attention<T, D, VEC>;

threadgroup float4 memory[Kernel::MEMORY];

const device sige::AttentionParams *p = reinterpret_cast<const device sige::AttentionParams *>(params);
Kernel attention(*p, list, memory, threadgroup_position_in_grid, thread_index_in_threadgroup);
attention.run(q, k, v, dst);
