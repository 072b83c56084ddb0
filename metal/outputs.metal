// The end of a kernel that has an `epilogue` (epilogue.h): its outputs. OUTPUTS is how many there are; RESIDUAL, SUMS
// and OUTPUTS_MODULATED are 1 where those arrays are given. PLANE(x) is defined by the kernel.
//
// Inputs, after the kernel's own:
//          bias, vector,
//          residual_base, residual_blocks, residual_grid                            if RESIDUAL,
//          output<i>_affine                                                         for each output,
//          output<i>_gamma_base, output<i>_gamma_blocks, output<i>_gamma_grid       if OUTPUTS_MODULATED,
//          output<i>_beta_base, output<i>_beta_blocks, output<i>_beta_grid          likewise
// Outputs: dst<i> for each output, sums if SUMS

#if RESIDUAL
epilogue.add(bias, vector, PLANE(residual));
#else
epilogue.add(bias, vector, {});
#endif
#if SUMS
epilogue.sums(sums);
#endif

#if OUTPUTS_MODULATED
#define OUTPUT_MOD(i) {PLANE(output##i##_gamma), PLANE(output##i##_beta)}
#else
#define OUTPUT_MOD(i)                                                                                                  \
    {                                                                                                                  \
    }
#endif
#if OUTPUTS > 0
epilogue.write(p->epilogue.output[0], output0_affine, OUTPUT_MOD(0), dst0);
#endif
#if OUTPUTS > 1
epilogue.write(p->epilogue.output[1], output1_affine, OUTPUT_MOD(1), dst1);
#endif
#if OUTPUTS > 2
epilogue.write(p->epilogue.output[2], output2_affine, OUTPUT_MOD(2), dst2);
#endif
#if OUTPUTS > 3
epilogue.write(p->epilogue.output[3], output3_affine, OUTPUT_MOD(3), dst3);
#endif
