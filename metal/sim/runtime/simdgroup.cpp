// The functions that make a simdgroup's lanes meet.
#include "worker.h"

#include <cstring>

namespace metal_sim {

u32 Worker::meet(bool multiplies, u32 site) {
    Simdgroup &mine = simdgroup();
    u32 lane = 1u << thread % kLanes, turn = mine.turn & 1;
    if (mine.arrived == 0) {
        mine.site = site;
        mine.multiplies = multiplies;
    } else if (mine.site != site) {
        fail_divergence(site, "other lanes of the simdgroup wait at another simdgroup function");
    }
    mine.arrived |= lane;
    if (mine.arrived != mine.lanes) {
        wait(State::kAtSimdFunction, site);
        return turn;
    }
    u32 s = thread / kLanes;
    complete(s);
    // With a seed this lane too goes on in any order.
    make_ready(s, launch->seed ? mine.lanes : mine.lanes & ~lane, launch->seed == 0 || random(2) == 0);
    if (launch->seed)
        leave();
    return turn;
}

static void multiply(float (*m)[8][8]) {
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++)
            for (int j = 0; j < 8; j++)
                m[2][i][j] = __builtin_fmaf(m[0][i][k], m[1][k][j], m[2][i][j]);
}

void Worker::complete(u32 s) {
    Simdgroup &group = simdgroups[s];
    if (!same_fingerprints(s))
        fail_divergence(group.site, "simdgroup_load or simdgroup_store before it was not reached by all lanes");
    u32 turn = group.turn++ & 1;
    group.exchange[turn].active = group.arrived;
    group.arrived = 0;
    if (group.multiplies) {
        if (group.exchange[turn].active != ~0u)
            fail_divergence(group.site, "matrix product without all 32 lanes");
        multiply(group.product[turn]);
        totals.multiplies++;
    } else {
        totals.simd_functions++;
    }
}

} // namespace metal_sim

using namespace metal_sim;

extern "C" void sim_threadgroup_barrier(u32 flags, u32 site) { this_worker().barrier(flags, site); }

extern "C" void sim_simdgroup_barrier(u32 flags, u32 site) {
    Worker &worker = this_worker();
    u32 before = worker.simdgroup().turn;
    worker.meet(false, site);
    // The first lane to go on speaks for all.
    Simdgroup &mine = worker.simdgroup();
    if (mine.synchronised == before + 1)
        return;
    mine.synchronised = before + 1;
    worker.totals.simd_functions--;
    worker.totals.simdgroup_barriers++;
    u32 s = worker.thread / kLanes;
    worker.now++;
    if (flags & 1)
        worker.simdgroup_device_sync[s] = worker.now;
    if (flags & 2)
        worker.simdgroup_sync[s] = worker.now;
}

extern "C" const Exchange *sim_exchange(const void *value, u32 bytes, u32 site) {
    Worker &worker = this_worker();
    Simdgroup &mine = worker.simdgroup();
    std::memcpy(mine.exchange[mine.turn & 1].slot[worker.thread % kLanes], value, bytes);
    return &mine.exchange[worker.meet(false, site)];
}

extern "C" void sim_multiply(const float *a, const float *b, float *c, u32 site) {
    Worker &worker = this_worker();
    Simdgroup &mine = worker.simdgroup();
    u32 l = worker.thread % kLanes, quad = l / 4;
    u32 row = (quad & 4) + l / 2 % 4, column = (quad & 2) * 2 + l % 2 * 2;
    float(*before)[8][8] = mine.product[mine.turn & 1];
    std::memcpy(&before[0][row][column], a, 8);
    std::memcpy(&before[1][row][column], b, 8);
    std::memcpy(&before[2][row][column], c, 8);
    float(*after)[8][8] = mine.product[worker.meet(true, site)];
    std::memcpy(c, &after[2][row][column], 8);
}

extern "C" void sim_converge(u32 site) { this_worker().converge(site); }
