#include "engine/train/loss_scale.h"

#include <algorithm>

namespace rankine {

bool LossScale::update(bool finite) {
  if (!moves_) return false;
  if (!finite) {
    clean_ = 0;
    const bool lowered = value_ > 1;
    value_ = std::max(1.0, value_ / 2);
    return lowered;
  }
  if (++clean_ == kCleanSteps) {
    clean_ = 0;
    value_ = std::min(kMost, value_ * 2);
  }
  return false;
}

void LossScale::restore(double value, std::int64_t clean_steps) {
  if (!moves_) return;
  value_ = value;
  clean_ = clean_steps;
}

}  // namespace rankine
