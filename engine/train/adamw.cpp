#include "engine/train/adamw.h"

#include <algorithm>

#include "engine/train/facts.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine {

namespace {

constexpr std::int64_t kMostOfSegment = std::int64_t{1} << 30;  // UpdatePlan addresses copies in 32 bits

AdamWOptions checked(const AdamWOptions& o) {
  require<ConfigError>(o.beta1 >= 0 && o.beta1 < 1, "AdamW: beta1 must be in [0, 1), got ", o.beta1);
  require<ConfigError>(o.beta2 >= 0 && o.beta2 < 1, "AdamW: beta2 must be in [0, 1), got ", o.beta2);
  require<ConfigError>(o.eps > 0, "AdamW: eps must be above 0, got ", o.eps);
  require<ConfigError>(o.weight_decay >= 0, "AdamW: weight_decay must not be negative, got ", o.weight_decay);
  return o;
}

std::vector<UpdateSegment> segments_of(const ParamArena& arena, double weight_decay) {
  std::vector<UpdateSegment> segments;
  for (const ParamArena::Range& range : arena.ranges()) {
    for (std::int64_t first = range.begin; first < range.end; first += kMostOfSegment) {
      UpdateSegment s;
      s.first = first;
      s.count = std::min(kMostOfSegment, range.end - first);
      s.lr_scale = static_cast<float>(range.group.lr_scale);
      s.weight_decay = range.group.decay ? static_cast<float>(weight_decay) : 0.0F;
      if (arena.working().defined()) s.copies[0].to = arena.working().flat(first, {s.count});
      segments.push_back(std::move(s));
    }
  }
  return segments;
}

}  // namespace

AdamW::AdamW(const Context& c, const ParamArena& arena, AdamWOptions options)
    : options_(checked(options)),
      m_(c.memory(), {arena.numel()}, DType::f32, Account::optimizer, "adamw.m"),
      v_(c.memory(), {arena.numel()}, DType::f32, Account::optimizer, "adamw.v"),
      plan_(c, arena.numel(), segments_of(arena, options_.weight_decay)) {
  fill(c, m_, 0.0F);
  fill(c, v_, 0.0F);
}

std::string AdamW::describe() const {
  return join("adamw beta1=", exact(options_.beta1), " beta2=", exact(options_.beta2),
              " eps=", exact(options_.eps), " weight_decay=", exact(options_.weight_decay));
}

void AdamW::step(const Context& c, ParamArena& arena, Tensor& state, const Tensor& loss, Ema* ema) {
  const UpdateSpec spec{static_cast<float>(options_.beta1), static_cast<float>(options_.beta2),
                        static_cast<float>(options_.eps), ema ? static_cast<float>(ema->decay()) : 0.0F};
  grad_stats(c, state, arena.grad(), loss, spec);
  adamw_update(c, {arena.value(), m_, v_, arena.grad(), ema ? ema->average() : Tensor()}, state, plan_, spec);
}

}  // namespace rankine
