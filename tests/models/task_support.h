// Steps of a task without a trainer.
#pragma once

#include "engine/core/transfer.h"
#include "engine/train/task.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine::testing_support {

// The loss that `work` adds to its tensor, without the loss scale.
template <class Work>
double loss_of(const Context& c, const Work& work) {
  Tensor loss = c.empty({1}, "loss", DType::f32);
  fill(c, loss, 0);
  work(loss);
  return static_cast<double>(floats_of(loss)[0]) / static_cast<double>(c.loss_scale);
}

inline double step_loss(Context& c, Task& task, std::int64_t step) {
  return loss_of(c, [&](Tensor& loss) { task.train_step(c, step, loss); });
}

}  // namespace rankine::testing_support
