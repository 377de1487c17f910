// Two ways to see a trend through noise.
#pragma once

#include <cstddef>
#include <deque>

namespace rankine {

// The median of the last `capacity` values: an ETA made from it ignores a slow checkpoint step.
class MovingMedian {
 public:
  explicit MovingMedian(std::size_t capacity = 51);
  void add(double value);
  double median() const;  // the mean of the middle two for an even count; 0 before the first value
  std::size_t count() const { return values_.size(); }

 private:
  std::size_t capacity_;
  std::deque<double> values_;
};

// Exponential moving average without the pull of its start: m = decay m + (1 - decay) x, value = m / (1 -
// decay^n). Values that are not finite are ignored.
class MovingAverage {
 public:
  explicit MovingAverage(double decay = 0.95) : decay_(decay) {}
  void add(double value);
  double value() const;  // 0 before the first value

 private:
  double decay_;
  double mean_ = 0;
  double weight_ = 0;
};

}  // namespace rankine
