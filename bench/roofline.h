// What the machine can do, measured: the yardstick of every other number in the same run.
#pragma once

#include <chrono>
#include <functional>

#include "engine/core/parallel.h"

namespace rankine::bench {

// The fastest of repeated calls, in seconds: at least three, for about `budget` seconds.
double best_seconds(const std::function<void()>& f, double budget = 0.25);

// FLOP/s of a product of square matrices of fp32 split over the pool by rows: by this project's engine,
// by the CBLAS that was linked (one thread of it in each of ours; 0 without one), and the better of the two.
struct SgemmRate {
  double own = 0, blas = 0;
  double best() const { return own > blas ? own : blas; }
};
SgemmRate measure_sgemm_rate(ThreadPool& pool, std::int64_t edge = 2048, double seconds = 1.0);

}  // namespace rankine::bench
