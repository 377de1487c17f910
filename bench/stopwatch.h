// Time of one call of an operation: the median of repeated ones, after every set of operands was used once.
//
// CPU: each call by the clock. CUDA: rounds of calls, recorded as a graph (step_graph.h) so that they follow
// each other without a gap, as those of a recorded step do, between two events; a round is long enough that
// the events do not count. What cannot be recorded, since it waits for the device, is called as it is.
// Emulated: the same with one round, and the number means nothing.
#pragma once

#include <span>

#include "bench/kernel_cases.h"
#include "engine/core/context.h"

namespace rankine::bench {

struct Timing {
  double seconds = 0;  // of one call
  double spread = 0;   // (slowest - fastest of the middle half) / seconds
  int calls = 0;       // timed
  bool recorded = false;
};
// `calls`, one per set of operands, are used in turn for about `budget` seconds, three rounds at least.
Timing time_calls(const Context& c, std::span<Call> calls, double budget);
Timing time_cuda_calls(const Context& c, std::span<Call> calls, double budget);  // in builds with CUDA

// From times of single calls.
Timing timing_of(std::vector<double> seconds, int calls_each);

}  // namespace rankine::bench
