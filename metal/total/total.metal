// The total of a convolution's shares (total.h).
//
// Inputs:  params, list, shares, then those of ../outputs.metal, whose outputs it has
// Grid:    (blocks of 32 output channels, groups of tiles); one threadgroup each

using Kernel = sige::Total<T, BM, VEC>;

threadgroup float4 memory[Kernel::MEMORY];
threadgroup int4 pixels[BM];

const device sige::TotalParams *p = reinterpret_cast<const device sige::TotalParams *>(params);
const Kernel total(*p, threadgroup_position_in_grid, thread_index_in_threadgroup);
if (total.idle(list)) {
    return;
}

#define PLANE(x) {x##_base, x##_blocks, x##_grid}

const auto epilogue = total.run(list, shares, memory, pixels);
#include "../outputs.metal"
