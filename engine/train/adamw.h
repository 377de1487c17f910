// AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019) over the arena, in one
// pass. The formula stands in kernels/optim/optim.h; here lr = scheduled rate * group.lr_scale, and the decay
// is 0 for groups with decay off.
#pragma once

#include "engine/train/optimizer.h"
#include "kernels/optim/optim.h"

namespace rankine {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

class AdamW final : public Optimizer {
 public:
  // Allocates m and v, zero, and the plan of the arena's ranges. Throws ConfigError for a beta outside [0,
  // 1), eps <= 0 or a negative decay.
  AdamW(const Context& c, const ParamArena& arena, AdamWOptions options);

  std::string describe() const override;
  void step(const Context& c, ParamArena& arena, Tensor& state, const Tensor& loss, Ema* ema) override;
  std::vector<NamedTensor> state() override { return {{"adamw.m", m_}, {"adamw.v", v_}}; }

 private:
  AdamWOptions options_;
  Tensor m_, v_;  // first and second moment, (numel)
  UpdatePlan plan_;
};

}  // namespace rankine
