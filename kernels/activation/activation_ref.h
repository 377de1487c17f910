// The meaning of activation.h for one number: value and slope. Backward is dy times slope(x).
#pragma once

#include <cmath>

#include "kernels/activation/activation.h"

namespace rankine::ref {

template <class T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

template <class T>
T silu(T x) {
  return x * sigmoid(x);
}
template <class T>
T silu_slope(T x) {
  const T s = sigmoid(x);
  return s + x * s * (1 - s);
}

template <class T>
T gelu(T x, Gelu kind) {
  const T root = std::sqrt(T(2) / T(M_PI));
  switch (kind) {
    case Gelu::erf:
      return T(0.5) * x * std::erfc(-x / std::sqrt(T(2)));
    case Gelu::tanh:
      return T(0.5) * x * (1 + std::tanh(root * (x + T(0.044715) * x * x * x)));
    case Gelu::quick:
      return x * sigmoid(T(1.702) * x);
  }
  return 0;
}
template <class T>
T gelu_slope(T x, Gelu kind) {
  const T root = std::sqrt(T(2) / T(M_PI));
  if (kind == Gelu::erf) {
    return T(0.5) * std::erfc(-x / std::sqrt(T(2))) + x * std::exp(-x * x / 2) / std::sqrt(2 * T(M_PI));
  }
  if (kind == Gelu::tanh) {
    const T t = std::tanh(root * (x + T(0.044715) * x * x * x));
    return T(0.5) * (1 + t) + T(0.5) * x * (1 - t * t) * root * (1 + 3 * T(0.044715) * x * x);
  }
  const T s = sigmoid(T(1.702) * x);
  return s + T(1.702) * x * s * (1 - s);
}

// GEGLU of one pair, and its two derivatives.
template <class T>
T geglu(T value, T gate) {
  return value * gelu(gate, Gelu::erf);
}
template <class T>
T geglu_dvalue(T gate) {
  return gelu(gate, Gelu::erf);
}
template <class T>
T geglu_dgate(T value, T gate) {
  return value * gelu_slope(gate, Gelu::erf);
}

// SwiGLU of one pair, and its two derivatives.
template <class T>
T swiglu(T gate, T up) {
  return silu(gate) * up;
}
template <class T>
T swiglu_dgate(T gate, T up) {
  return silu_slope(gate) * up;
}
template <class T>
T swiglu_dup(T gate) {
  return silu(gate);
}

}  // namespace rankine::ref
