// The meaning of loss.h for any number type T: per-element terms and slopes, and whole samples.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/loss/loss.h"

namespace rankine::ref {

template <class T>
T regression_term(T d, Regression kind, T c) {
  if (kind == Regression::mse) return d * d;
  const T smooth = 2 * (std::sqrt(d * d + c * c) - c);
  return kind == Regression::huber ? c * smooth : smooth;
}
template <class T>
T regression_slope(T d, Regression kind, T c) {
  if (kind == Regression::mse) return 2 * d;
  const T smooth = 2 * d / std::sqrt(d * d + c * c);
  return kind == Regression::huber ? c * smooth : smooth;
}

template <class T>
T clamped(T log_variance) {
  return std::clamp(log_variance, T(-30), T(20));
}
template <class T>
bool is_clamped(T log_variance) {
  return log_variance < T(-30) || log_variance > T(20);
}

// KL of one latent element to the standard normal, and its derivatives.
template <class T>
T kl_term(T mean, T log_variance) {
  const T v = clamped(log_variance);
  return T(0.5) * (mean * mean + std::exp(v) - 1 - v);
}
template <class T>
T kl_dmean(T mean) {
  return mean;
}
template <class T>
T kl_dlogvar(T log_variance) {
  return is_clamped(log_variance) ? T(0) : T(0.5) * (std::exp(log_variance) - 1);
}

// z = mean + exp(logvar / 2) eps, and dz / dlogvar. dz / dmean is 1.
template <class T>
T posterior(T mean, T log_variance, T eps) {
  return mean + std::exp(clamped(log_variance) / 2) * eps;
}
template <class T>
T posterior_dlogvar(T log_variance, T eps) {
  return is_clamped(log_variance) ? T(0) : T(0.5) * std::exp(log_variance / 2) * eps;
}

// Cross-entropy of one row of weight 1, and its gradient: softmax minus the target's unit vector.
template <class T>
T cross_entropy(const std::vector<T>& logits, std::size_t target, std::vector<T>& gradient) {
  const T top = *std::max_element(logits.begin(), logits.end());
  T sum = 0;
  for (const T x : logits) sum += std::exp(x - top);
  gradient.clear();
  for (const T x : logits) gradient.push_back(std::exp(x - top) / sum);
  gradient[target] -= 1;
  return top - logits[target] + std::log(sum);
}

}  // namespace rankine::ref
