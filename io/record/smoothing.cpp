#include "io/record/smoothing.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/core/error.h"

namespace rankine {

MovingMedian::MovingMedian(std::size_t capacity) : capacity_(capacity) {
  require<std::logic_error>(capacity > 0, "MovingMedian: capacity must not be 0");
}

void MovingMedian::add(double value) {
  if (values_.size() == capacity_) values_.pop_front();
  values_.push_back(value);
}

double MovingMedian::median() const {
  if (values_.empty()) return 0;
  std::vector<double> sorted(values_.begin(), values_.end());
  const std::size_t middle = sorted.size() / 2;
  std::sort(sorted.begin(), sorted.end());
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

void MovingAverage::add(double value) {
  if (!std::isfinite(value)) return;
  mean_ = decay_ * mean_ + (1 - decay_) * value;
  weight_ = decay_ * weight_ + (1 - decay_);
}

double MovingAverage::value() const { return weight_ > 0 ? mean_ / weight_ : 0; }

}  // namespace rankine
