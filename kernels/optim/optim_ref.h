// The meaning of optim.h for one parameter, for any number type T.
#pragma once

#include <cmath>

#include "kernels/optim/optim.h"

namespace rankine::ref {

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

}  // namespace rankine::ref
