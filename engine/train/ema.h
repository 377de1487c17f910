// A moving average of the parameters, usually better to look at than the last step:
//   d_n = min(decay, (1 + n) / (10 + n)) ;  ema = d_n ema + (1 - d_n) value
// with n = updates done before this one (the first has d = 0.1): the warm-up of TensorFlow's
// ExponentialMovingAverage, also used by diffusers. The average starts as a copy of the starting values; the
// optimizer's step moves it (adamw_update in kernels/optim/optim.h).
//
// What users load, previews and validation use the average: they run between two calls of swap().
#pragma once

#include "engine/train/param_arena.h"

namespace rankine {

class Ema {
 public:
  // `decay` in (0, 1); ConfigError otherwise. Copies the arena's values, so make it after they are filled.
  Ema(const Context& c, const ParamArena& arena, double decay);

  // Exchanges the average with the arena's values in place, so that every view of a parameter sees it.
  void swap(const Context& c, ParamArena& arena);

  double decay() const { return decay_; }
  const Tensor& average() const { return average_; }  // (numel), Account::optimizer

 private:
  double decay_;
  Tensor average_;
  Tensor spare_;  // one chunk for swap(), kept so that swapping back can never run out of memory
};

// Holds the average in the arena while alive; does nothing for a null `ema`.
class EmaInPlace {
 public:
  EmaInPlace(const Context& c, ParamArena& arena, Ema* ema) : c_(c), arena_(arena), ema_(ema) {
    if (ema_) ema_->swap(c_, arena_);
  }
  ~EmaInPlace() {
    if (ema_) ema_->swap(c_, arena_);
  }
  EmaInPlace(const EmaInPlace&) = delete;
  EmaInPlace& operator=(const EmaInPlace&) = delete;

 private:
  const Context& c_;
  ParamArena& arena_;
  Ema* ema_;
};

}  // namespace rankine
