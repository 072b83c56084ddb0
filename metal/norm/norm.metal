// A normalisation as an affine map (norm.h) over SOURCES concatenated values; mod is of the type T.
//
// Inputs:  params, weight, bias, mod, sums<i>_base, sums<i>_blocks, sums<i>_grid for each source
// Outputs: affine, moments, gain
// Grid:    (groups of all images); one threadgroup of 256 each

threadgroup float partial[8];

const device sige::NormParams *p = reinterpret_cast<const device sige::NormParams *>(params);
const sige::Norm<256> norm(*p, threadgroup_position_in_grid.x, thread_index_in_threadgroup);
const float count = float(p->pixels) * float(norm.width);
float mean = 0.0f, variance = 0.0f;
for (int pass = 0; pass < 2; pass++) {
    float part = norm.part(p->sums[0], {sums0_base, sums0_blocks, sums0_grid}, 0, mean, pass);
    int first = p->sums[0].c / 2;
#if SOURCES > 1
    part += norm.part(p->sums[1], {sums1_base, sums1_blocks, sums1_grid}, first, mean, pass);
    first += p->sums[1].c / 2;
#endif
#if SOURCES > 2
    part += norm.part(p->sums[2], {sums2_base, sums2_blocks, sums2_grid}, first, mean, pass);
    first += p->sums[2].c / 2;
#endif
#if SOURCES > 3
    part += norm.part(p->sums[3], {sums3_base, sums3_blocks, sums3_grid}, first, mean, pass);
#endif
    const float total = sige::threadgroup_sum<256>(part, partial, thread_index_in_threadgroup) / count;
    mean = pass == 0 ? total : mean;
    variance = total;
}
norm.write<T>(mean, variance, weight, bias, mod, affine, moments, gain);
