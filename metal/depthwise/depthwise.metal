// The depthwise convolution (depthwise.h).
//
// Inputs:  params, list, weight, source_base, source_blocks, source_grid, source_affine,
//          source_gamma_base, source_gamma_blocks, source_gamma_grid                if SOURCES_MODULATED,
//          source_beta_base, source_beta_blocks, source_beta_grid                   likewise,
//          then those of ../outputs.metal, whose outputs it has
// Grid:    (blocks of BC channels, groups of tiles); one threadgroup each

using Kernel = sige::Depthwise<T, BM, BC, PIXELS, VEC>;

threadgroup float4 window[Kernel::WINDOW_SIZE];
threadgroup float4 values[Kernel::VALUES_SIZE];
threadgroup sige::WindowPixel windows[PIXELS];
threadgroup int4 pixels[BM];

const device sige::DepthwiseParams *p = reinterpret_cast<const device sige::DepthwiseParams *>(params);
const Kernel depthwise(*p, threadgroup_position_in_grid, thread_index_in_threadgroup);
if (depthwise.idle(list)) {
    return;
}

#define PLANE(x) {x##_base, x##_blocks, x##_grid}
#if SOURCES_MODULATED
#define SOURCE                                                                                                         \
    {                                                                                                                  \
        PLANE(source), source_affine, { PLANE(source_gamma), PLANE(source_beta) }                                      \
    }
#else
#define SOURCE                                                                                                         \
    {                                                                                                                  \
        PLANE(source), source_affine, {}                                                                               \
    }
#endif

const auto epilogue = depthwise.run(list, SOURCE, weight, window, values, windows, pixels);
#include "../outputs.metal"
