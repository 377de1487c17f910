#include "engine/train/adamw.h"

#include "engine/train/facts.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optim/optim.h"

namespace rankine {

namespace {

void check(const AdamWOptions& o) {
  require<ConfigError>(o.beta1 >= 0 && o.beta1 < 1, "AdamW: beta1 must be in [0, 1), got ", o.beta1);
  require<ConfigError>(o.beta2 >= 0 && o.beta2 < 1, "AdamW: beta2 must be in [0, 1), got ", o.beta2);
  require<ConfigError>(o.eps > 0, "AdamW: eps must be above 0, got ", o.eps);
  require<ConfigError>(o.weight_decay >= 0, "AdamW: weight_decay must not be negative, got ", o.weight_decay);
}

}  // namespace

AdamW::AdamW(const Context& c, const ParamArena& arena, AdamWOptions options) : options_(options) {
  check(options_);
  m_ = Tensor(c.memory(), {arena.numel()}, DType::f32, Account::optimizer, "adamw.m");
  v_ = Tensor(c.memory(), {arena.numel()}, DType::f32, Account::optimizer, "adamw.v");
  fill(c, m_, 0.0F);
  fill(c, v_, 0.0F);
}

std::string AdamW::describe() const {
  return join("adamw beta1=", exact(options_.beta1), " beta2=", exact(options_.beta2),
              " eps=", exact(options_.eps), " weight_decay=", exact(options_.weight_decay));
}

void AdamW::step(const Context& c, ParamArena& arena, double lr, double grad_scale) {
  AdamWSpec spec;
  spec.beta1 = static_cast<float>(options_.beta1);
  spec.beta2 = static_cast<float>(options_.beta2);
  spec.eps = static_cast<float>(options_.eps);
  spec.grad_scale = static_cast<float>(grad_scale);
  spec.t = ++updates_;
  for (const ParamArena::Range& range : arena.ranges()) {
    const Shape shape{range.numel()};
    Tensor value = arena.value().flat(range.begin, shape);
    Tensor m = m_.flat(range.begin, shape);
    Tensor v = v_.flat(range.begin, shape);
    spec.lr = static_cast<float>(lr * range.group.lr_scale);
    spec.weight_decay = range.group.decay ? static_cast<float>(options_.weight_decay) : 0.0F;
    adamw_step(c, {value, m, v}, arena.grad().flat(range.begin, shape), spec);
  }
}

}  // namespace rankine
