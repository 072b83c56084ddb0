#include "worker.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

extern "C" __thread metal_sim::Context *sim_context = nullptr;

namespace metal_sim {

Worker::Worker() : Context{}, cells(new Cell[kMaxThreadgroupBytes]()) {}

void Worker::begin(const Launch &of) {
    launch = &of;
    buffers = of.buffers;
    buffer_count = of.buffer_count;
    fault = {};
    totals = {};
    if (of.block_counts)
        recorder.begin_launch(of.buffers, of.buffer_count, of.sites);
    // Stamps start where the last launch ended, so that nothing has to be cleared; long before they wrap, everything
    // is.
    if (now > 1u << 31) {
        std::fill_n(cells.get(), kMaxThreadgroupBytes, Cell{});
        for (Array &array : arrays)
            array.stamp = 0;
        now = 0;
    }
}

u32 Worker::random(u32 below) {
    random_state = random_state * 6364136223846793005ul + 1442695040888963407ul;
    return (u32)((random_state >> 33) % below);
}

bool Worker::run(const Launch &of, u32 index) {
    Position groups = {};
    u32 *count[3] = {&groups.x, &groups.y, &groups.z};
    u32 size[3]; // MLX gives Metal threadgroups no larger than the grid
    for (int d = 0; d < 3; d++) {
        size[d] = std::min(of.threadgroup[d], of.grid[d]);
        *count[d] = (of.grid[d] + size[d] - 1) / size[d];
    }
    Position at = {index % groups.x, index / groups.x % groups.y, index / (groups.x * groups.y)};
    shared.threadgroup_position_in_grid = at;
    shared.threadgroups_per_grid = groups;
    shared.threads_per_grid = {of.grid[0], of.grid[1], of.grid[2]};
    shared.dispatch_threads_per_threadgroup = {size[0], size[1], size[2]};
    // The last threadgroup of a row is smaller where the grid is no multiple.
    Position own = {std::min(size[0], of.grid[0] - at.x * size[0]), std::min(size[1], of.grid[1] - at.y * size[1]),
                    std::min(size[2], of.grid[2] - at.z * size[2])};
    shared.threads_per_threadgroup = own;
    u32 threads = own.x * own.y * own.z;
    shared.simdgroups_per_threadgroup = (threads + kLanes - 1) / kLanes;
    shared.dispatch_simdgroups_per_threadgroup = (size[0] * size[1] * size[2] + kLanes - 1) / kLanes;

    group = index;
    sim_context = this;
    random_state = of.seed * 0x9E3779B97F4A7C15ul + index;
    memory_used = 0;
    threadgroup_sync = device_sync = group_start = ++now;
    std::fill_n(simdgroup_sync, kMaxSimdgroups, now);
    std::fill_n(simdgroup_device_sync, kMaxSimdgroups, now);
    reset_threads(threads);
    if (of.block_counts)
        recorder.begin_threadgroup(threads);
    thread = ready.pop();
    sim_switch(&main_stack, fibers[thread].stack_pointer);
    for (u32 s = 0; s < shared.simdgroups_per_threadgroup && fault.kind == kNoFault; s++)
        if (!same_fingerprints(s)) {
            fault.kind = kDivergence;
            fault.site = kSite;
            std::snprintf(fault.text, sizeof fault.text, "simdgroup_load or simdgroup_store not reached by all lanes");
        }
    if (of.block_counts)
        recorder.end_threadgroup(totals);
    totals.threads += threads;
    totals.threadgroups++;
    totals.threadgroup_memory = std::max(totals.threadgroup_memory, (u64)memory_used);
    return fault.kind == kNoFault;
}

void Worker::reset_threads(u32 threads) {
    thread_count = live = threads;
    at_barrier = 0;
    ready.clear();
    while (fibers.size() < threads)
        fibers.emplace_back();
    for (u32 t = 0; t < threads; t++) {
        fibers[t].start(fiber_main, t);
        state[t] = State::kReady;
        fingerprint[t] = 0;
    }
    u32 count = shared.simdgroups_per_threadgroup;
    for (u32 s = 0; s < count; s++) {
        u32 lanes = std::min(kLanes, threads - s * kLanes);
        simdgroups[s].lanes = lanes == kLanes ? ~0u : (1u << lanes) - 1;
        simdgroups[s].arrived = simdgroups[s].turn = simdgroups[s].synchronised = 0;
    }
    release_barrier();
}

void Worker::fiber_main() {
    Worker &worker = this_worker();
    u64 handles[32];
    for (u32 b = 0; b < worker.buffer_count; b++)
        handles[b] = make_handle(kDeviceTag, b);
    Builtins builtins = worker.shared;
    Position size = builtins.threads_per_threadgroup, full = builtins.dispatch_threads_per_threadgroup;
    Position group = builtins.threadgroup_position_in_grid;
    u32 t = worker.thread;
    Position p = {t % size.x, t / size.x % size.y, t / (size.x * size.y)};
    builtins.thread_position_in_threadgroup = p;
    builtins.thread_position_in_grid = {group.x * full.x + p.x, group.y * full.y + p.y, group.z * full.z + p.z};
    builtins.thread_index_in_threadgroup = t;
    builtins.thread_index_in_simdgroup = t % kLanes;
    builtins.simdgroup_index_in_threadgroup = t / kLanes;
    worker.launch->entry(handles, builtins);
    worker.finish_thread();
}

// Lanes of one simdgroup become ready: at once, or when all others have stopped. With a seed, in any order.
void Worker::make_ready(u32 simdgroup, u32 lanes, bool soon) {
    u16 order[kLanes];
    u32 count = 0;
    for (u32 rest = lanes; rest; rest &= rest - 1)
        order[count++] = (u16)(simdgroup * kLanes + (u32)__builtin_ctz(rest));
    if (launch->seed)
        for (u32 i = count; i > 1; i--)
            std::swap(order[i - 1], order[random(i)]);
    for (u32 i = 0; i < count; i++) {
        u32 t = order[soon ? count - 1 - i : i];
        state[t] = State::kReady;
        soon ? ready.push_front(t) : ready.push_back(t);
    }
}

// All threads go on, simdgroup after simdgroup; with a seed, in any order of simdgroups.
void Worker::release_barrier() {
    at_barrier = 0;
    u32 order[kMaxSimdgroups], count = shared.simdgroups_per_threadgroup;
    for (u32 s = 0; s < count; s++)
        order[s] = s;
    if (launch->seed)
        for (u32 i = count; i > 1; i--)
            std::swap(order[i - 1], order[random(i)]);
    for (u32 i = 0; i < count; i++)
        make_ready(order[i], simdgroups[order[i]].lanes, false);
}

void Worker::leave() {
    u32 from = thread;
    if (ready.empty()) {
        if (live)
            report_deadlock();
        sim_switch(&fibers[from].stack_pointer, main_stack);
    }
    thread = ready.pop();
    if (thread != from)
        sim_switch(&fibers[from].stack_pointer, fibers[thread].stack_pointer);
}

void Worker::wait(State why, u32 site) {
    state[thread] = why;
    wait_site[thread] = site;
    leave();
}

void Worker::finish_thread() {
    state[thread] = State::kDone;
    live--;
    leave();
    __builtin_unreachable();
}

void Worker::fail(const Fault &what) {
    fault = what;
    sim_switch(&fibers[thread].stack_pointer, main_stack);
    __builtin_unreachable();
}

void Worker::barrier(u32 flags, u32 site) {
    if (at_barrier == 0) {
        barrier_site = site;
        barrier_flags = flags;
    } else if (barrier_site != site) {
        fail_divergence(site, "other threads of the threadgroup wait at another barrier");
    }
    if (++at_barrier < thread_count)
        return wait(State::kAtBarrier, site);
    for (u32 s = 0; s < shared.simdgroups_per_threadgroup; s++)
        if (!same_fingerprints(s))
            fail_divergence(site, "simdgroup_load or simdgroup_store before it was not reached by all lanes");
    totals.threadgroup_barriers++;
    now++;
    if (barrier_flags & 1)
        device_sync = now;
    if (barrier_flags & 2)
        threadgroup_sync = now;
    release_barrier(); // this thread too: it leaves, and comes back in its turn
    leave();
}

// Whether a simdgroup's lanes have come by the same simdgroup loads and stores.
bool Worker::same_fingerprints(u32 s) const {
    u32 differences = 0, first = s * kLanes, end = std::min(first + kLanes, thread_count);
    for (u32 t = first; t < end; t++)
        differences |= fingerprint[t] ^ fingerprint[first];
    return differences == 0;
}

// Who waits when nothing can run: lanes at a simdgroup function if there are any, else threads at the barrier.
void Worker::report_deadlock() {
    u32 first = 0, end = thread_count;
    const State *waits = std::find(state, state + thread_count, State::kAtSimdFunction);
    bool simd = waits != state + thread_count;
    if (simd) {
        first = (u32)(waits - state) / kLanes * kLanes;
        end = std::min(first + kLanes, thread_count);
    } else {
        waits = std::find(state, state + thread_count, State::kAtBarrier);
    }
    u32 place = (u32)(waits - state);
    fault.kind = kDivergence;
    fault.thread = place;
    fault.group = group;
    fault.site = wait_site[place];
    std::snprintf(fault.text, sizeof fault.text, "%s reached by %ld of %u threads (%ld have returned)",
                  simd ? "a simdgroup function" : "threadgroup_barrier",
                  (long)std::count(state + first, state + end, *waits), end - first,
                  (long)std::count(state + first, state + end, State::kDone));
}

void Worker::fail_divergence(u32 site, const char *text) {
    Fault what{};
    what.kind = kDivergence;
    what.site = site;
    what.thread = thread;
    what.group = group;
    std::snprintf(what.text, sizeof what.text, "%s", text);
    fail(what);
}

} // namespace metal_sim
