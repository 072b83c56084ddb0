// The sparse convolution (conv.h). SOURCES and OUTPUTS are how many there are; RESIDUAL, SUMS and MODULATED are 1 where
// those arrays are given.
//
// Inputs, in this order:  params, list, weight, bias, vec,
//                         source<i>_base, source<i>_blocks, source<i>_grid, source<i>_affine    for each source,
//                         residual_base, residual_blocks, residual_grid                         if RESIDUAL,
//                         output<i>_affine                                                      for each output,
//                         output<i>_mod_base, output<i>_mod_blocks, output<i>_mod_grid          likewise, if MODULATED
// Outputs:                dst<i> for each output, sums if SUMS
// Grid:                   (panels of BN channels, groups of tiles); one threadgroup each

using Conv = sige::Conv<T, WM, WN, WK, BK, PIXELS, VEC_IN, VEC_OUT>;

threadgroup float4 memory[Conv::MEMORY];
threadgroup sige::WindowPixel windows[PIXELS];
threadgroup int4 pixels[Conv::BM];
threadgroup int taps[Conv::MAX_TAPS];

const device sige::ConvParams* p = reinterpret_cast<const device sige::ConvParams*>(params);
Conv conv(*p, list, weight, {memory, windows, pixels, taps}, threadgroup_position_in_grid, thread_index_in_threadgroup);
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
#if RESIDUAL
epilogue.add(bias, vec, {residual_base, residual_blocks, residual_grid});
#else
epilogue.add(bias, vec, {});
#endif
#if SUMS
epilogue.sums(conv.first_tile, conv.tiles, p->out.tile * p->out.tile, sums);
#endif

#if MODULATED
#define MOD(i) {output##i##_mod_base, output##i##_mod_blocks, output##i##_mod_grid}
#else
#define MOD(i) {}
#endif
epilogue.write(p->output[0], output0_affine, MOD(0), dst0);
#if OUTPUTS > 1
epilogue.write(p->output[1], output1_affine, MOD(1), dst1);
#endif
#if OUTPUTS > 2
epilogue.write(p->output[2], output2_affine, MOD(2), dst2);
#endif
#if OUTPUTS > 3
epilogue.write(p->output[3], output3_affine, MOD(3), dst3);
#endif
