// The end of a kernel that has an `epilogue` (epilogue.h): its outputs. OUTPUTS is how many there are; RESIDUAL, SUMS and
// MODULATED are 1 where those arrays are given.
//
// Inputs, after the kernel's own:  bias, vec,
//                                  residual_base, residual_blocks, residual_grid                     if RESIDUAL,
//                                  output<i>_affine                                                  for each output,
//                                  output<i>_mod_base, output<i>_mod_blocks, output<i>_mod_grid      and if MODULATED
// Outputs:                         dst<i> for each output, sums if SUMS

#if RESIDUAL
epilogue.add(bias, vec, {residual_base, residual_blocks, residual_grid});
#else
epilogue.add(bias, vec, {});
#endif
#if SUMS
epilogue.sums(sums);
#endif

#if MODULATED
#define MOD(i) {output##i##_mod_base, output##i##_mod_blocks, output##i##_mod_grid}
#else
#define MOD(i) {}
#endif
epilogue.write(p->epilogue.output[0], output0_affine, MOD(0), dst0);
#if OUTPUTS > 1
epilogue.write(p->epilogue.output[1], output1_affine, MOD(1), dst1);
#endif
#if OUTPUTS > 2
epilogue.write(p->epilogue.output[2], output2_affine, MOD(2), dst2);
#endif
#if OUTPUTS > 3
epilogue.write(p->epilogue.output[3], output3_affine, MOD(3), dst3);
#endif
