#include "bench/stopwatch.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "bench/cuda_timer.h"

namespace rankine::bench {
namespace {

constexpr double kRound = 1e-3;  // seconds between two events at least
constexpr int kRounds = 3, kMostRounds = 50;

class Turns {
 public:
  explicit Turns(std::span<Call> calls) : calls_(calls) {}
  void next() { calls_[at_++ % calls_.size()](); }
  void all() {
    for (Call& call : calls_) call();
  }

 private:
  std::span<Call> calls_;
  std::size_t at_ = 0;
};

double wall_seconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Timing time_on_cpu(Turns turns, double budget) {
  turns.all();
  std::vector<double> seconds;
  for (double spent = 0; seconds.size() < kRounds || spent < budget; spent += seconds.back())
    seconds.push_back(wall_seconds([&] { turns.next(); }));
  return timing_of(std::move(seconds), 1);
}

[[maybe_unused]] Timing time_on_cuda(const Context& c, Turns turns, double budget) {
  const auto round = [&](int calls) {
    return cuda_seconds(c.cuda_stream(), [&] {
      for (int i = 0; i < calls; ++i) turns.next();
    });
  };
  turns.all();
  round(1);
  const double once = std::max(1e-7, round(4) / 4);
  const int calls = std::max(1, static_cast<int>(std::ceil(kRound / once)));
  const int rounds = std::clamp(static_cast<int>(budget / (once * calls)), kRounds, kMostRounds);
  std::vector<double> seconds;
  for (int i = 0; i < rounds; ++i) seconds.push_back(round(calls) / calls);
  return timing_of(std::move(seconds), calls);
}

}  // namespace

Timing timing_of(std::vector<double> seconds, int calls_each) {
  std::sort(seconds.begin(), seconds.end());
  const std::size_t n = seconds.size();
  const double median = n % 2 ? seconds[n / 2] : 0.5 * (seconds[n / 2 - 1] + seconds[n / 2]);
  const double spread = median > 0 ? (seconds[n - 1 - n / 4] - seconds[n / 4]) / median : 0;
  return {median, spread, static_cast<int>(n) * calls_each};
}

Timing time_calls(const Context& c, std::span<Call> calls, double budget) {
  if constexpr (build::emulated) {
    if (c.device().is_cuda())
      return timing_of({wall_seconds([&] { Turns(calls).all(); }) / double(calls.size())},
                       static_cast<int>(calls.size()));
  }
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return time_on_cuda(c, Turns(calls), budget);
  }
  return time_on_cpu(Turns(calls), budget);
}

}  // namespace rankine::bench
