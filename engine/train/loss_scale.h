// Dynamic loss scaling for fp16 gradients (Micikevicius et al., "Mixed Precision Training", ICLR 2018): the
// loss is multiplied by a power of two before backward, the gradients divided by it before the update. A step
// whose gradients overflow is skipped and halves the scale; many clean ones in a row double it.
#pragma once

#include <cstdint>

#include "engine/core/dtype.h"

namespace rankine {

class LossScale {
 public:
  static constexpr double kInitial = 65536, kMost = 16777216;
  static constexpr std::int64_t kCleanSteps = 2000;

  // Only fp16 needs a scale: with bf16 and fp32, whose exponents reach as far as a float's, it is 1 for ever.
  explicit LossScale(DType activations) : moves_(activations == DType::f16), value_(moves_ ? kInitial : 1) {}

  double value() const { return value_; }
  std::int64_t clean_steps() const { return clean_; }
  // After a step: whether its gradients were finite. Returns true when an overflow could be the scale's
  // fault, that is, when the scale was lowered.
  bool update(bool finite);
  // Of a checkpoint.
  void restore(double value, std::int64_t clean_steps);

 private:
  bool moves_;
  double value_;
  std::int64_t clean_ = 0;
};

}  // namespace rankine
