#include <algorithm>
#include <cmath>

#include "bench/stopwatch.h"
#include "engine/core/cuda_device.h"
#include "engine/core/step_graph.h"

namespace rankine::bench {
namespace {

// Seconds between two events at least: the start of a graph takes microseconds.
constexpr double kRound = 3e-3;
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

// `calls` calls: of every set as many.
class Rounds {
 public:
  Rounds(const Context& c, Turns turns) : c_(c), turns_(turns) {}

  // Seconds of one.
  double time(int calls) {
    const cuda::CudaEvent start = cuda::record_timed_event(c_.cuda_stream());
    if (recorded_)
      graph_.run(c_, [] {});
    else
      run(calls);
    return cuda::seconds_between(start, cuda::record_timed_event(c_.cuda_stream()));
  }
  // Times from now on are those of this recording.
  bool record(int calls) {
    try {
      for (int i = 0; i < 2; ++i) graph_.run(c_, [&] { run(calls); });  // as it is, then recorded
      recorded_ = true;
    } catch (const Error&) {  // it waits for the device
    }
    return recorded_;
  }

 private:
  void run(int calls) {
    for (int i = 0; i < calls; ++i) turns_.next();
  }

  const Context& c_;
  Turns turns_;
  StepGraph graph_;
  bool recorded_ = false;
};

}  // namespace

Timing time_cuda_calls(const Context& c, std::span<Call> calls, double budget) {
  Turns(calls).all();
  const int sets = static_cast<int>(calls.size());
  Rounds rounds(c, Turns(calls));
  const double once = build::emulated ? kRound : std::max(1e-7, rounds.time(sets) / sets);
  const int turns = static_cast<int>(std::ceil(kRound / once / sets));
  const int each = sets * std::max(1, turns);
  const bool recorded = rounds.record(each);
  const int count = std::clamp(static_cast<int>(budget / (once * each)), kRounds, kMostRounds);
  std::vector<double> seconds;
  for (int i = 0; i < (build::emulated ? 1 : count); ++i) seconds.push_back(rounds.time(each) / each);
  Timing timing = timing_of(std::move(seconds), each);
  timing.recorded = recorded;
  return timing;
}

}  // namespace rankine::bench
