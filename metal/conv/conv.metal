// The sparse convolution of SOURCES sources: to NARROW output channels (narrow.h), or where that is 0 to any (conv.h),
// of 3x3 kernels by F(4x4, 3x3) where WINOGRAD is 1 (winograd.h), whose `weight` is transformed. Where SHARED is 1 the
// sum over channels is shared out (share.h), and the shares are all that is written.
//
// Inputs:  params, list, weight,
//          source<i>_base, source<i>_blocks, source<i>_grid, source<i>_affine       for each source,
//          source<i>_gamma_base, source<i>_gamma_blocks, source<i>_gamma_grid       if SOURCES_MODULATED,
//          source<i>_beta_base, source<i>_beta_blocks, source<i>_beta_grid          likewise,
//          then those of ../outputs.metal, whose outputs it has, if not SHARED
// Outputs: shares [pixel][share][c_out], if SHARED
// Grid:    (panels of BN output channels, 1 where there are few, groups of tiles, shares); one threadgroup each

#if NARROW
using Kernel = sige::NarrowConv<T, NARROW, OWN, BK, PIXELS, VEC_IN, VEC_OUT>;
#elif WINOGRAD
using Kernel = sige::WinogradConv<T, TILES, PIXELS, POINTWISE, VEC_IN, VEC_OUT>;
#else
using Kernel = sige::Conv<T, WM, WN, WK, TM, TN, BK, PIXELS, PHASED, VEC_IN, VEC_OUT>;
#endif

threadgroup float4 memory[Kernel::MEMORY];
threadgroup sige::WindowPixel windows[PIXELS];
threadgroup int4 pixels[Kernel::BM];
threadgroup int taps[sige::MAX_TAPS];

const device sige::ConvParams *p = reinterpret_cast<const device sige::ConvParams *>(params);
Kernel conv(*p, list, weight, {memory, windows, pixels, taps}, threadgroup_position_in_grid,
            thread_index_in_threadgroup);
if (conv.idle()) {
    return;
}

#define PLANE(x) {x##_base, x##_blocks, x##_grid}
#if SOURCES_MODULATED
#define SOURCE_MOD(i) {PLANE(source##i##_gamma), PLANE(source##i##_beta)}
#else
#define SOURCE_MOD(i)                                                                                                  \
    {                                                                                                                  \
    }
#endif
#define SOURCE(i) {PLANE(source##i), source##i##_affine, SOURCE_MOD(i)}

conv.accumulate(p->source[0], SOURCE(0));
#if SOURCES > 1
conv.accumulate(p->source[1], SOURCE(1));
#endif
#if SOURCES > 2
conv.accumulate(p->source[2], SOURCE(2));
#endif
#if SOURCES > 3
conv.accumulate(p->source[3], SOURCE(3));
#endif

for (int part = 0; part < Kernel::PARTS; part++) {
    const auto epilogue = conv.finish(part);
#if SHARED
    epilogue.store(shares, conv.share, p->shares);
#else
#include "../outputs.metal"
#endif
}
