// The step of an optimizer without the host: grad_stats judges the gradient and works out the step's factors,
// adamw_update does all that depends on them. Both read and write StepState where the parameters are, so a
// step on CUDA waits for nothing and can be recorded as a graph. What the host wants to know it downloads
// when it likes.
#pragma once

#include <array>
#include <vector>

#include "kernels/common/checks.h"

namespace rankine {

// StepState lies in an fp32 tensor (kStepNumbers), set with make_step_state, changed with set_step_inputs.
struct StepState {
  // Of the host, before a step.
  float lr = 0;          // scheduled rate
  float grad_scale = 1;  // 1 / loss scale
  float max_norm = 0;    // of the unscaled gradient; <= 0: no clipping
  // Of the device.
  float updates = 0;       // done, a whole number up to 2^24: Adam's t once grad_stats has counted this one
  float skipped = 0;       // steps whose gradient was bad
  float norm = 0;          // sqrt(sum of (grad grad_scale)²); NaN or infinite for a bad gradient
  float found_inf = 0;     // 1: the gradient or the loss is not finite and nothing may change
  float loss = 0;          // that was judged, as it came
  float factor = 1;        // grad_scale · min(1, max_norm / (norm + 1e-6)): g = grad · factor
  float inverse_bias = 1;  // 1 / (1 - b1^t)
  float root_bias = 1;     // 1 / sqrt(1 - b2^t)
  float ema_weight = 0;    // 1 - min(ema_decay, t / (9 + t)): ema += ema_weight (value - ema)
};
inline constexpr std::int64_t kStepNumbers = sizeof(StepState) / sizeof(float);
Tensor make_step_state(const Context& c, const StepState& initial);
void set_step_inputs(const Context& c, Tensor& state, float lr, float grad_scale, float max_norm);
StepState read_step_state(const Context& c, const Tensor& state);  // waits for the device

struct UpdateSpec {
  float beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F;
  float ema_decay = 0;  // as in engine/train/ema.h; read where an average is kept
};
// grad (n) fp32; loss (1) fp32 or undefined. Squares are summed eight at a time in fp32, then in double, in
// an order that depends on n alone; elements beyond 6e18 times grad_scale count as infinite. A bad gradient
// or loss sets found_inf and counts as skipped, not as an update: the fields after `loss` keep what they
// hold. Clipping: Pascanu et al., "On the difficulty of training recurrent neural networks", ICML 2013; the
// 1e-6 is PyTorch's clip_grad_norm_.
void grad_stats(const Context& c, Tensor& state, const Tensor& grad, const Tensor& loss,
                const UpdateSpec& spec);

// What the update knows of a run of the arena: [first, first + count), all of one group of parameters.
struct UpdateSegment {
  // A copy that the update keeps up to date: `to` = scale · value, rounded once to its type (f16, bf16 or
  // f32). cols = 0: `to` holds count numbers. Else the run is a matrix (count / cols, cols) and goes to
  // columns [first_column, first_column + cols) of `to` (count / cols, pitch): the tail of [W | sB].
  struct Copy {
    Tensor to{};  // undefined: none
    float scale = 1;
    std::int64_t cols = 0, first_column = 0;
  };
  std::int64_t first = 0, count = 0;
  float lr_scale = 1, weight_decay = 0;
  std::array<Copy, 2> copies{};
};

// The runs of an arena, in memory of the device; made once. Runs ascend and do not overlap; elements in none
// keep their values. Throws ShapeError for others, or a copy that does not fit.
class UpdatePlan {
 public:
  UpdatePlan(const Context& c, std::int64_t numel, std::vector<UpdateSegment> segments);

  std::int64_t numel() const { return numel_; }
  const std::vector<UpdateSegment>& segments() const { return segments_; }
  double copied_bytes() const { return copied_bytes_; }
  const Tensor& runs() const { return runs_; }    // UpdateRun of optim_impl.h
  const Tensor& tiles() const { return tiles_; }  // UpdateTile of optim_impl.h

 private:
  std::int64_t numel_;
  std::vector<UpdateSegment> segments_;
  double copied_bytes_ = 0;
  Tensor runs_, tiles_;
};

struct UpdateTensors {
  Tensor &value, &m, &v;
  const Tensor& grad;
  Tensor ema{};  // undefined: no average is kept
};
// One pass over the arena, after grad_stats. AdamW (Loshchilov & Hutter, "Decoupled weight decay
// regularization", ICLR 2019), bias-corrected, with lr = state.lr · lr_scale and t = state.updates:
//   g = grad · state.factor ;  m = b1 m + (1-b1) g ;  v = b2 v + (1-b2) g²
//   value = value (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
// then the copies and the average of the new values. Nothing is touched where found_inf is set. All tensors
// 1-D fp32 of plan.numel().
void adamw_update(const Context& c, UpdateTensors t, const Tensor& state, const UpdatePlan& plan,
                  const UpdateSpec& spec);

}  // namespace rankine
