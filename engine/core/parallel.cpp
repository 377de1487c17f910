#include "engine/core/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace rankine {

namespace {
// Cores this process may use: a container's affinity mask counts, the machine's core count does not.
int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}
thread_local bool inside_body = false;
}  // namespace

struct ThreadPool::Impl {
  struct Job {
    std::int64_t n = 0, chunk = 1;
    Call call = nullptr;
    void* body = nullptr;
  };

  std::vector<std::thread> workers;
  std::mutex one_at_a_time;  // two callers of the same pool take turns
  Job job;
  std::atomic<std::uint32_t> generation{0};  // bumped when a job is posted
  std::atomic<int> pending{0};
  std::atomic<bool> stop{false};
  std::mutex error_mutex;
  std::exception_ptr error;

  void run_part(int part) {
    const std::int64_t begin = std::min(job.n, part * job.chunk);
    const std::int64_t end = std::min(job.n, begin + job.chunk);
    if (begin >= end) return;
    inside_body = true;
    try {
      job.call(job.body, begin, end);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
    inside_body = false;
  }

  void worker(int part) {
    std::uint32_t seen = 0;
    for (;;) {
      generation.wait(seen, std::memory_order_acquire);
      seen = generation.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      run_part(part);
      if (pending.fetch_sub(1, std::memory_order_acq_rel) == 1) pending.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int threads)
    : size_(threads > 0 ? threads : available_cores()), impl_(std::make_unique<Impl>()) {
  for (int part = 1; part < size_; ++part) impl_->workers.emplace_back([this, part] { impl_->worker(part); });
}

ThreadPool::~ThreadPool() {
  impl_->stop.store(true, std::memory_order_release);
  impl_->generation.fetch_add(1, std::memory_order_release);
  impl_->generation.notify_all();
  for (auto& t : impl_->workers) t.join();
}

void ThreadPool::run(std::int64_t n, std::int64_t grain, Call call, void* body) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t parts = std::min<std::int64_t>(size_, std::max<std::int64_t>(1, n / grain));
  if (parts == 1 || inside_body) {
    call(body, 0, n);
    return;
  }
  const std::lock_guard turn(impl_->one_at_a_time);
  impl_->job = {n, (n + parts - 1) / parts, call, body};
  impl_->error = nullptr;
  impl_->pending.store(size_ - 1, std::memory_order_release);
  impl_->generation.fetch_add(1, std::memory_order_release);
  impl_->generation.notify_all();
  impl_->run_part(0);
  for (int left = impl_->pending.load(std::memory_order_acquire); left != 0;
       left = impl_->pending.load(std::memory_order_acquire)) {
    impl_->pending.wait(left, std::memory_order_acquire);
  }
  if (impl_->error) std::rethrow_exception(impl_->error);
}

}  // namespace rankine
