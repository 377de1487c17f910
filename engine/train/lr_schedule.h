// The learning rate as a pure function of the number of updates done, so that a resumed run needs no state.
//
// With n updates done, w warm-up updates, T updates in all, base rate lr, and p = (n - w) / max(1, T - w):
//   n < w                  lr n / w                     (every kind; the first update of a warm-up has rate
//   0) constant               lr linear                 lr max(0, (T - n) / max(1, T - w)) cosine lr max(0,
//   (1 + cos(pi p)) / 2) cosine_with_restarts   lr max(0, (1 + cos(pi frac(cycles p))) / 2),  0 for p >= 1
//   polynomial             end + (lr - end) (1 - p)^power,  end for n > T;  end = 1e-7
// These are the rates of diffusers' get_scheduler(name).get_last_lr() after n scheduler steps (Loshchilov &
// Hutter, "SGDR", ICLR 2017, for the cosine forms).
#pragma once

#include <cstdint>
#include <string>

#include "io/config/enums.h"

namespace rankine {

struct LrScheduleOptions {
  config::LrScheduler kind = config::LrScheduler::constant;
  double learning_rate = 1e-4;    // base rate, reached at the end of the warm-up
  std::int64_t warmup_steps = 0;  // w
  std::int64_t total_steps = 0;   // T
  double cycles = 1;              // of cosine_with_restarts
  double power = 1;               // of polynomial
};

class LrSchedule {
 public:
  static constexpr double kPolynomialEnd = 1e-7;

  // Throws ConfigError for a negative count, a rate that is not positive and finite, a warm-up longer than
  // the run, or a polynomial decay from a rate that is not above its end.
  explicit LrSchedule(const LrScheduleOptions& options);

  double at(std::int64_t updates) const;

  // Everything that changes a rate, on one line. A constant rate does not name T: such a run may be extended.
  std::string describe() const;

 private:
  double factor(std::int64_t n) const;

  LrScheduleOptions o_;
};

}  // namespace rankine
