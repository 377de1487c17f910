#include "bench/stopwatch.h"

#include <algorithm>
#include <chrono>

namespace rankine::bench {
namespace {

constexpr int kRounds = 3;  // at least

double wall_seconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Timing time_on_cpu(std::span<Call> calls, double budget) {
  for (Call& call : calls) call();
  std::vector<double> seconds;
  for (double spent = 0; seconds.size() < kRounds || spent < budget; spent += seconds.back())
    seconds.push_back(wall_seconds(calls[seconds.size() % calls.size()]));
  return timing_of(std::move(seconds), 1);
}

}  // namespace

Timing timing_of(std::vector<double> seconds, int calls_each) {
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  const double median = n % 2 ? seconds[n / 2] : 0.5 * (seconds[n / 2 - 1] + seconds[n / 2]);
  const double spread = median > 0 ? (seconds[n - 1 - n / 4] - seconds[n / 4]) / median : 0;
  return {median, spread, static_cast<int>(n) * calls_each, false};
}

Timing time_calls(const Context& c, std::span<Call> calls, double budget) {
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return time_cuda_calls(c, calls, budget);
  }
  return time_on_cpu(calls, budget);
}

}  // namespace rankine::bench
