// The sparse convolution (conv.h) of SOURCES sources.
//
// Inputs:  params, list, weight,
//          source<i>_base, source<i>_blocks, source<i>_grid, source<i>_affine     for each source,
//          then those of ../outputs.metal, whose outputs it has
// Grid:    (panels of BN output channels, groups of tiles); one threadgroup each

using Kernel = sige::Conv<T, WM, WN, WK, BK, PIXELS, PHASED, VEC_IN, VEC_OUT>;

threadgroup float4 memory[Kernel::MEMORY];
threadgroup sige::WindowPixel windows[PIXELS];
threadgroup int4 pixels[Kernel::BM];
threadgroup int taps[Kernel::MAX_TAPS];

const device sige::ConvParams* p = reinterpret_cast<const device sige::ConvParams*>(params);
Kernel conv(*p, list, weight, {memory, windows, pixels, taps}, threadgroup_position_in_grid, thread_index_in_threadgroup);
if (conv.idle()) {
  return;
}

conv.accumulate(p->source[0], {source0_base, source0_blocks, source0_grid}, source0_affine);
#if SOURCES > 1
conv.accumulate(p->source[1], {source1_base, source1_blocks, source1_grid}, source1_affine);
#endif
#if SOURCES > 2
conv.accumulate(p->source[2], {source2_base, source2_blocks, source2_grid}, source2_affine);
#endif
#if SOURCES > 3
conv.accumulate(p->source[3], {source3_base, source3_blocks, source3_grid}, source3_affine);
#endif

const auto epilogue = conv.finish();
#include "../outputs.metal"
