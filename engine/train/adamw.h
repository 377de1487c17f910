// AdamW (Loshchilov & Hutter, "Decoupled weight decay regularization", ICLR 2019) over the arena, one kernel
// call per range of equal groups. The formula stands in kernels/optim/optim.h; here lr = scheduled rate *
// group.lr_scale, and the decay is 0 for groups with decay off.
#pragma once

#include "engine/train/optimizer.h"

namespace rankine {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
};

class AdamW final : public Optimizer {
 public:
  // Allocates m and v, zero. Throws ConfigError for a beta outside [0, 1), eps <= 0 or a negative decay.
  AdamW(const Context& c, const ParamArena& arena, AdamWOptions options);

  std::string describe() const override;
  void step(const Context& c, ParamArena& arena, double lr, double grad_scale) override;
  std::int64_t updates() const override { return updates_; }
  void set_updates(std::int64_t updates) override { updates_ = updates; }
  std::vector<NamedTensor> state() override { return {{"adamw.m", m_}, {"adamw.v", v_}}; }

 private:
  AdamWOptions options_;
  Tensor m_, v_;  // first and second moment, (numel)
  std::int64_t updates_ = 0;
};

}  // namespace rankine
