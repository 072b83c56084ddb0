// Runs a grid of threadgroups on a few operating system threads.
#include "worker.h"

#include <algorithm>
#include <mutex>
#include <thread>

namespace metal_sim {

// Workers are kept: their fibers' stacks are the dear part of a launch.
static std::mutex pool_mutex;
static std::vector<std::unique_ptr<Worker>> pool;

static std::unique_ptr<Worker> take_worker() {
    std::lock_guard<std::mutex> lock(pool_mutex);
    if (pool.empty())
        return std::make_unique<Worker>();
    std::unique_ptr<Worker> worker = std::move(pool.back());
    pool.pop_back();
    return worker;
}

static void add(Totals &sum, const Totals &part) {
    u64 most_memory = std::max(sum.threadgroup_memory, part.threadgroup_memory);
    const u64 *from = reinterpret_cast<const u64 *>(&part);
    u64 *to = reinterpret_cast<u64 *>(&sum);
    for (size_t i = 0; i < sizeof(Totals) / sizeof(u64); i++)
        to[i] += from[i];
    sum.threadgroup_memory = most_memory;
}

} // namespace metal_sim

using namespace metal_sim;

extern "C" void sim_launch(const Launch *launch) {
    u32 groups = 1;
    for (int d = 0; d < 3; d++) {
        u32 size = std::min(launch->threadgroup[d], launch->grid[d]);
        groups *= (launch->grid[d] + size - 1) / size;
    }
    if (launch->chosen)
        groups = launch->chosen_count;
    std::vector<std::unique_ptr<Worker>> workers;
    for (u32 w = 0; w < std::max(1u, std::min(launch->workers, groups)); w++) {
        workers.push_back(take_worker());
        workers[w]->begin(*launch);
        workers[w]->block_counts = launch->block_counts ? launch->block_counts + (size_t)w * launch->blocks : nullptr;
    }
    // With a seed threadgroups start from the last.
    std::atomic<u32> taken{0};
    auto work = [&](Worker &worker) {
        for (u32 n; (n = taken.fetch_add(1, std::memory_order_relaxed)) < groups;) {
            u32 place = launch->seed & 1 ? groups - 1 - n : n;
            if (!worker.run(*launch, launch->chosen ? launch->chosen[place] : place)) {
                taken.store(groups, std::memory_order_relaxed);
                return;
            }
        }
    };
    std::vector<std::thread> threads;
    for (size_t w = 1; w < workers.size(); w++)
        threads.emplace_back([&, w] { work(*workers[w]); });
    work(*workers[0]);
    for (std::thread &t : threads)
        t.join();
    for (auto &worker : workers) {
        add(*launch->totals, worker->totals);
        if (worker->fault.kind && !launch->fault->kind)
            *launch->fault = worker->fault;
    }
    if (launch->block_counts) {
        for (size_t w = 1; w < workers.size(); w++)
            workers[0]->recorder.merge(workers[w]->recorder);
        workers[0]->recorder.count_lines(*launch->totals);
    }
    std::lock_guard<std::mutex> lock(pool_mutex);
    for (auto &worker : workers)
        pool.push_back(std::move(worker));
}
