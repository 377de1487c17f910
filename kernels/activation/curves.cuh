// The nonlinearities of activation.h on the device, in fp32: `value` at x, and `both` value and slope.
#pragma once

#include <cuda_runtime.h>

namespace rankine::cuda {

struct ValueSlope {
  float value, slope;
};

// From exp(-|x|), which cannot overflow.
__device__ __forceinline__ ValueSlope sigmoid(float x) {
  const float e = expf(-fabsf(x)), r = 1.0F / (1.0F + e);
  return {x < 0 ? e * r : r, e * r * r};
}

struct Silu {
  __device__ static float value(float x) { return x * sigmoid(x).value; }
  __device__ static ValueSlope both(float x) {
    const ValueSlope s = sigmoid(x);
    return {x * s.value, s.value + x * s.slope};
  }
};
struct GeluErf {
  __device__ static float value(float x) { return x * normcdff(x); }
  __device__ static ValueSlope both(float x) {
    const float below = normcdff(x);
    return {x * below, below + x * 0.3989422804F * expf(-0.5F * x * x)};
  }
};
// 0.5 (1 + tanh(u)) = sigmoid(2u), with 2u = x (a + b x^2).
struct GeluTanh {
  static constexpr float kA = 1.5957691216F, kB = 0.071354816F;
  __device__ static float value(float x) { return x * sigmoid(x * (kA + kB * x * x)).value; }
  __device__ static ValueSlope both(float x) {
    const ValueSlope s = sigmoid(x * (kA + kB * x * x));
    return {x * s.value, s.value + x * (kA + 3 * kB * x * x) * s.slope};
  }
};
struct GeluQuick {
  static constexpr float kA = 1.702F;
  __device__ static float value(float x) { return x * sigmoid(kA * x).value; }
  __device__ static ValueSlope both(float x) {
    const ValueSlope s = sigmoid(kA * x);
    return {x * s.value, s.value + kA * x * s.slope};
  }
};

}  // namespace rankine::cuda
