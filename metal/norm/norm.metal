// A normalisation as an affine map (norm.h) over SOURCES concatenated values; mod is of the type T.
//
// If FOLLOWED, it takes the statistics that recorded moments become once some tiles have other sums than before.
//
// Inputs:  params, weight, bias, mod,
//          sums<i>_base, sums<i>_blocks, sums<i>_grid                               for each source,
//          recorded, before<i> for each source                                      if FOLLOWED
// Outputs: affine, moments, gain
// Grid:    (groups of all images); one threadgroup of 256 each

threadgroup float partial[8];

const device sige::NormParams *p = reinterpret_cast<const device sige::NormParams *>(params);
const sige::Norm<256> norm(*p, threadgroup_position_in_grid.x, thread_index_in_threadgroup);
const float count = float(p->pixels) * float(norm.width);
#if FOLLOWED
#define SUMS(i) {sums##i##_base, sums##i##_blocks, sums##i##_grid}, before##i
const float recorded_mean = norm.moment(recorded, 0), recorded_variance = norm.moment(recorded, 1);
#else
#define SUMS(i) {sums##i##_base, sums##i##_blocks, sums##i##_grid}, nullptr
#endif
float mean = 0.0f, variance = 0.0f;
for (int pass = 0; pass < 2; pass++) {
    float part = norm.part(p->sums[0], SUMS(0), 0, mean, pass);
    int first = p->sums[0].c / 2;
#if SOURCES > 1
    part += norm.part(p->sums[1], SUMS(1), first, mean, pass);
    first += p->sums[1].c / 2;
#endif
#if SOURCES > 2
    part += norm.part(p->sums[2], SUMS(2), first, mean, pass);
    first += p->sums[2].c / 2;
#endif
#if SOURCES > 3
    part += norm.part(p->sums[3], SUMS(3), first, mean, pass);
#endif
    float total = sige::threadgroup_sum<256>(part, partial, thread_index_in_threadgroup) / count;
#if FOLLOWED
    const float moved = recorded_mean - mean;
    total += pass == 0 ? recorded_mean : recorded_variance + moved * moved;
#endif
    mean = pass == 0 ? total : mean;
    variance = total;
}
norm.write<T>(mean, variance, weight, bias, mod, affine, moments, gain);
