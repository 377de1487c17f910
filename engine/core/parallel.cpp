#include "engine/core/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
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

// A sleeping thread takes 50 to 100 microseconds to wake, in a virtual machine: longer than most operations
// of a small model. So who waits for work first keeps its core for about 20 microseconds, then offers it to
// others that want it, without sleeping, for as long as the pauses of a training step last.
constexpr int kSpins = 400;
constexpr std::chrono::milliseconds kYields{2};

template <class Done>
void spin_until(const Done& done) {
  for (int i = 0; i < kSpins && !done(); ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
}
template <class Done>
void stay_awake_until(const Done& done) {
  spin_until(done);
  if (done()) return;
  const auto end = std::chrono::steady_clock::now() + kYields;
  while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}
}  // namespace

// Parts of a job are taken, not assigned: whoever is awake takes the next one. A worker that the system keeps
// off its core therefore holds nobody up unless it is in the middle of a part; the caller does what is left.
struct ThreadPool::Impl {
  struct Job {
    std::int64_t n = 0, chunk = 1;
    Call call{};
    bool part_per_thread = true;  // at most
  };

  std::vector<std::thread> workers;
  std::mutex one_at_a_time;  // two callers of the same pool take turns
  // Written before a job's ticket is posted, read by who has taken a part of it; a job with a taken part is
  // not over, so neither is ever late.
  Job job;
  // Which job, how many of its parts are taken, how many it has, in one word: nobody takes part of a job that
  // has been replaced meanwhile.
  std::atomic<std::uint64_t> ticket{0};
  std::atomic<std::uint32_t> posted{0};     // the number of the newest job: what workers sleep on
  std::atomic<std::int32_t> unfinished{0};  // parts
  std::atomic<bool> stop{false};
  std::mutex error_mutex;
  std::exception_ptr error;

  static constexpr int kBits = 16;  // of each of the two counts in a ticket
  static constexpr std::uint64_t kCount = (1U << kBits) - 1;
  static constexpr std::int64_t kMostParts = kCount;

  // The next part of the newest job, or -1 when all are taken.
  int take() {
    std::uint64_t seen = ticket.load(std::memory_order_acquire);
    for (;;) {
      const std::uint64_t taken = (seen >> kBits) & kCount, parts = seen & kCount;
      if (taken >= parts) return -1;
      if (ticket.compare_exchange_weak(seen, seen + (1U << kBits), std::memory_order_acq_rel))
        return static_cast<int>(taken);
    }
  }

  void run_part(int part, int thread) {
    const std::int64_t begin = part * job.chunk, end = std::min(job.n, begin + job.chunk);
    inside_body = true;
    try {
      job.call.function(job.call.body, begin, end, job.part_per_thread ? part : thread);
    } catch (...) {
      const std::lock_guard lock(error_mutex);
      if (!error) error = std::current_exception();
    }
    inside_body = false;
    if (unfinished.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished.notify_one();
  }

  bool all_taken() const {
    const std::uint64_t seen = ticket.load(std::memory_order_relaxed);
    return ((seen >> kBits) & kCount) >= (seen & kCount);
  }

  void run_parts(int thread) {
    for (int part = take(); part >= 0; part = take()) run_part(part, thread);
  }
  // The caller's share where there is a part for every thread: a worker that is waking up gets a moment to
  // take its part before the caller does.
  void run_parts_patiently() {
    for (int part = take(); part >= 0; part = take()) {
      run_part(part, 0);
      spin_until([&] { return all_taken(); });
    }
  }

  void worker(int thread) {
    std::uint32_t seen = 0;
    for (;;) {
      stay_awake_until([&] { return posted.load(std::memory_order_relaxed) != seen; });
      posted.wait(seen, std::memory_order_acquire);
      seen = posted.load(std::memory_order_acquire);
      if (stop.load(std::memory_order_acquire)) return;
      run_parts(thread);
    }
  }

  void post(const Job& next, std::int64_t parts) {
    job = next;
    error = nullptr;
    unfinished.store(static_cast<std::int32_t>(parts), std::memory_order_relaxed);
    const std::uint32_t number = posted.load(std::memory_order_relaxed) + 1;
    ticket.store((std::uint64_t{number} << 2 * kBits) | static_cast<std::uint64_t>(parts),
                 std::memory_order_release);
    posted.store(number, std::memory_order_release);
    posted.notify_all();
  }

  // Runs `call` for n items in parts of `chunk`, with the caller as thread 0.
  void run(std::int64_t n, std::int64_t chunk, const Call& call) {
    const std::int64_t parts = (n + chunk - 1) / chunk;
    const Job next{n, chunk, call, parts <= std::ssize(workers) + 1};
    const std::lock_guard turn(one_at_a_time);
    post(next, parts);
    if (next.part_per_thread)
      run_parts_patiently();
    else
      run_parts(0);
    stay_awake_until([&] { return unfinished.load(std::memory_order_relaxed) == 0; });
    for (int left = unfinished.load(std::memory_order_acquire); left != 0;
         left = unfinished.load(std::memory_order_acquire)) {
      unfinished.wait(left, std::memory_order_acquire);
    }
    if (error) std::rethrow_exception(error);
  }
};

ThreadPool::ThreadPool(int threads)
    : size_(std::min(threads > 0 ? threads : available_cores(), static_cast<int>(Impl::kMostParts))),
      impl_(std::make_unique<Impl>()) {
  for (int i = 1; i < size_; ++i) impl_->workers.emplace_back([this, i] { impl_->worker(i); });
}

ThreadPool::~ThreadPool() {
  impl_->stop.store(true, std::memory_order_release);
  impl_->posted.fetch_add(1, std::memory_order_release);
  impl_->posted.notify_all();
  for (auto& t : impl_->workers) t.join();
}

void ThreadPool::run_ranges(std::int64_t n, std::int64_t grain, const Call& call) {
  if (n <= 0) return;
  grain = std::max<std::int64_t>(1, grain);
  const std::int64_t parts = std::min<std::int64_t>(size_, std::max<std::int64_t>(1, n / grain));
  if (parts == 1 || inside_body) return call.function(call.body, 0, n, 0);
  impl_->run(n, (n + parts - 1) / parts, call);
}

void ThreadPool::run_tasks(std::int64_t n, const Call& call) {
  if (n <= 0) return;
  if (n == 1 || size_ == 1 || inside_body) return call.function(call.body, 0, n, 0);
  impl_->run(n, (n + Impl::kMostParts - 1) / Impl::kMostParts, call);
}

}  // namespace rankine
