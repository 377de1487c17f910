// The meaning of optim.h, for any number type T.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/optim/optim.h"

namespace rankine::ref {

struct AdamWSpec {
  float lr = 1e-4F, beta1 = 0.9F, beta2 = 0.999F, eps = 1e-8F, weight_decay = 0;
  float grad_scale = 1;  // clipping factor × 1/loss scale
  std::int64_t t = 1;    // step count from 1
};

template <class T>
struct AdamWParameter {
  T value, m, v;
};

template <class T>
AdamWParameter<T> adamw_step(AdamWParameter<T> p, T grad, const AdamWSpec& s) {
  const T g = grad * T(s.grad_scale), b1 = T(s.beta1), b2 = T(s.beta2), lr = T(s.lr), t = T(s.t);
  p.m = b1 * p.m + (1 - b1) * g;
  p.v = b2 * p.v + (1 - b2) * g * g;
  const T m_hat = p.m / (1 - std::pow(b1, t)), v_hat = p.v / (1 - std::pow(b2, t));
  p.value = p.value * (1 - lr * T(s.weight_decay)) - lr * m_hat / (std::sqrt(v_hat) + T(s.eps));
  return p;
}

// What grad_stats knows after the gradients of some steps.
template <class T>
struct Step {
  T updates = 0, skipped = 0, norm = 0, factor = 1, ema_weight = 0;
  bool bad = false;
};
template <class T>
void grad_stats(Step<T>& s, const std::vector<T>& grad, T loss, const StepState& inputs, T ema_decay) {
  T sum = 0;
  for (const T g : grad) sum += g * T(inputs.grad_scale) * g * T(inputs.grad_scale);
  s.norm = std::sqrt(sum);
  s.bad = !std::isfinite(s.norm) || !std::isfinite(loss);
  if (s.bad) {
    s.skipped += 1;
    return;
  }
  s.updates += 1;
  const T most = T(inputs.max_norm);
  s.factor = T(inputs.grad_scale) * (most > 0 ? std::min(T(1), most / (s.norm + T(1e-6))) : T(1));
  s.ema_weight = 1 - std::min(ema_decay, s.updates / (9 + s.updates));
}

}  // namespace rankine::ref
