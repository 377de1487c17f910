// Time of one call of an operation: the median of repeated ones, after every set of operands was used once.
//
// CPU: each call by the clock. CUDA: rounds of calls between two events, long enough that neither the events
// nor the start of the first launch count; calls queue behind each other as those of a step do. Emulated:
// each set is called once, and the number means nothing.
#pragma once

#include <span>

#include "bench/kernel_cases.h"
#include "engine/core/context.h"

namespace rankine::bench {

struct Timing {
  double seconds = 0;  // of one call
  double spread = 0;   // (slowest - fastest of the middle half) / seconds
  int calls = 0;       // timed
};
// `calls`, one per set of operands, are used in turn for about `budget` seconds, three rounds at least.
Timing time_calls(const Context& c, std::span<Call> calls, double budget);

// From times of single calls.
Timing timing_of(std::vector<double> seconds, int calls_each);

}  // namespace rankine::bench
