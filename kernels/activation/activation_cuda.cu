// CUDA side of activation.h: fp32, grid-stride.
#include "kernels/activation/activation_impl.h"
#include "kernels/common/launch.cuh"

namespace rankine::cuda {
namespace {

struct Sigmoid {
  float value, slope;
};
// From exp(-|x|), which cannot overflow.
__device__ Sigmoid sigmoid(float x) {
  const float e = expf(-fabsf(x)), r = 1.0F / (1.0F + e);
  return {x < 0 ? e * r : r, e * r * r};
}

// Each kind as a pair: the value at x, and the slope at x.
struct Silu {
  __device__ float value(float x) const { return x * sigmoid(x).value; }
  __device__ float slope(float x) const {
    const Sigmoid s = sigmoid(x);
    return s.value + x * s.slope;
  }
};
struct GeluErf {
  __device__ float value(float x) const { return x * normcdff(x); }
  __device__ float slope(float x) const { return normcdff(x) + x * 0.3989422804F * expf(-0.5F * x * x); }
};
// 0.5 (1 + tanh(u)) = sigmoid(2u), with 2u = x (a + b x^2).
struct GeluTanh {
  static constexpr float kA = 1.5957691216F, kB = 0.071354816F;
  __device__ float value(float x) const { return x * sigmoid(x * (kA + kB * x * x)).value; }
  __device__ float slope(float x) const {
    const Sigmoid s = sigmoid(x * (kA + kB * x * x));
    return s.value + x * (kA + 3 * kB * x * x) * s.slope;
  }
};
struct GeluQuick {
  static constexpr float kA = 1.702F;
  __device__ float value(float x) const { return x * sigmoid(kA * x).value; }
  __device__ float slope(float x) const {
    const Sigmoid s = sigmoid(kA * x);
    return s.value + kA * x * s.slope;
  }
};

template <class F>
struct Forward {
  float* y;
  const float* x;
  __device__ void operator()(std::int64_t i) const { y[i] = F().value(x[i]); }
};
template <class F>
struct Backward {
  ActivationGrad a;
  __device__ void operator()(std::int64_t i) const { a.dx[i] = a.dy[i] * F().slope(a.x[i]); }
};

struct GegluForward {
  float* y;
  const float* x;
  std::int64_t half;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t at = i / half * 2 * half + i % half;
    y[i] = x[at] * GeluErf().value(x[at + half]);
  }
};
struct GegluBackward {
  ActivationGrad a;
  std::int64_t half;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t at = i / half * 2 * half + i % half;
    const float value = a.x[at], gate = a.x[at + half];
    a.dx[at] = a.dy[i] * GeluErf().value(gate);
    a.dx[at + half] = a.dy[i] * value * GeluErf().slope(gate);
  }
};

}  // namespace

void silu_forward(CudaStream stream, float* y, const float* x, std::int64_t n) {
  for_each("silu_forward", stream, n, Forward<Silu>{y, x});
}

void silu_backward(CudaStream stream, ActivationGrad a, std::int64_t n) {
  for_each("silu_backward", stream, n, Backward<Silu>{a});
}

void gelu_forward(CudaStream stream, float* y, const float* x, std::int64_t n, Gelu kind) {
  switch (kind) {
    case Gelu::erf:
      return for_each("gelu_forward", stream, n, Forward<GeluErf>{y, x});
    case Gelu::tanh:
      return for_each("gelu_forward", stream, n, Forward<GeluTanh>{y, x});
    case Gelu::quick:
      return for_each("gelu_forward", stream, n, Forward<GeluQuick>{y, x});
  }
}

void gelu_backward(CudaStream stream, ActivationGrad a, std::int64_t n, Gelu kind) {
  switch (kind) {
    case Gelu::erf:
      return for_each("gelu_backward", stream, n, Backward<GeluErf>{a});
    case Gelu::tanh:
      return for_each("gelu_backward", stream, n, Backward<GeluTanh>{a});
    case Gelu::quick:
      return for_each("gelu_backward", stream, n, Backward<GeluQuick>{a});
  }
}

void geglu_forward(CudaStream stream, float* y, const float* x, GatedRows size) {
  for_each("geglu_forward", stream, size.rows * size.half, GegluForward{y, x, size.half});
}

void geglu_backward(CudaStream stream, ActivationGrad a, GatedRows size) {
  for_each("geglu_backward", stream, size.rows * size.half, GegluBackward{a, size.half});
}

}  // namespace rankine::cuda
