// CUDA side of activation.h: fp32 arithmetic on fp32, fp16 or bf16.
#include "kernels/activation/activation_impl.h"
#include "kernels/activation/curves.cuh"
#include "kernels/common/pointwise.cuh"

namespace rankine::cuda {
namespace {

template <class Curve>
struct Forward {
  __device__ void operator()(float (&y)[1], const float (&x)[1]) const { y[0] = Curve::value(x[0]); }
};
template <class Curve>
struct Backward {  // of dy, x
  __device__ void operator()(float (&dx)[1], const float (&in)[2]) const {
    dx[0] = in[0] * Curve::both(in[1]).slope;
  }
};
template <class Curve>
void forward(std::string_view name, CudaStream stream, const Activated& a) {
  map_elements<1, 1>(name, stream, {a.n, a.type}, {a.y}, {a.x}, Forward<Curve>{});
}
template <class Curve>
void backward(std::string_view name, CudaStream stream, const ActivatedGrad& a) {
  map_elements<1, 2>(name, stream, {a.n, a.type}, {a.dx}, {a.dy, a.x}, Backward<Curve>{});
}

// Element i of y in the tensors whose rows lie `pitch` apart.
__device__ __forceinline__ std::int64_t gated(std::int64_t i, std::int64_t half, std::int64_t pitch) {
  return pitch == half ? i : i + i / half * (pitch - half);
}
template <class T, class Curve>
struct GatedForward {
  T* y;
  const T* gate;
  const T* other;
  std::int64_t half, pitch;
  __device__ void one(std::int64_t i) const {
    const std::int64_t at = gated(i, half, pitch);
    y[i] = from_float<T>(Curve::value(to_float(gate[at])) * to_float(other[at]));
  }
  __device__ void eight(std::int64_t i) const {
    const std::int64_t at = gated(i, half, pitch);
    Eight e = load8(gate + at);
    const Eight f = load8(other + at);
#pragma unroll
    for (int k = 0; k < 8; ++k) e.x[k] = Curve::value(e.x[k]) * f.x[k];
    store8(y + i, e);
  }
};
// Everything is read before anything is written: the gradients may lie on the inputs.
template <class T, class Curve>
struct GatedBackward {
  T* dgate;
  T* dother;
  const T* dy;
  const T* gate;
  const T* other;
  std::int64_t half, pitch;
  __device__ void one(std::int64_t i) const {
    const std::int64_t at = gated(i, half, pitch);
    const ValueSlope s = Curve::both(to_float(gate[at]));
    const float g = to_float(dy[i]), f = to_float(other[at]);
    dgate[at] = from_float<T>(g * f * s.slope);
    dother[at] = from_float<T>(g * s.value);
  }
  __device__ void eight(std::int64_t i) const {
    const std::int64_t at = gated(i, half, pitch);
    Eight e = load8(gate + at), f = load8(other + at);
    const Eight g = load8(dy + i);
#pragma unroll
    for (int k = 0; k < 8; ++k) {
      const ValueSlope s = Curve::both(e.x[k]);
      e.x[k] = g.x[k] * f.x[k] * s.slope;
      f.x[k] = g.x[k] * s.value;
    }
    store8(dgate + at, e);
    store8(dother + at, f);
  }
};

// Eights must not cross from one row into the next.
bool rows_of_eights(const GatedRows& size, std::int64_t pitch) {
  return pitch == size.half || (size.half % 8 == 0 && pitch % 8 == 0);
}
template <class Curve>
void gated_forward_of(std::string_view name, CudaStream stream, const GatedArgs& a) {
  const GatedRows& size = a.size;
  const bool eights = rows_of_eights(size, a.pitch) && aligned16({a.y, a.gate, a.other});
  with_float_type(name, a.type, [&]<class T>(T) {
    for_each8(name, stream, size.rows * size.half, eights,
              GatedForward<T, Curve>{static_cast<T*>(a.y), static_cast<const T*>(a.gate),
                                     static_cast<const T*>(a.other), size.half, a.pitch});
  });
}
template <class Curve>
void gated_backward_of(std::string_view name, CudaStream stream, const GatedGradArgs& a) {
  const GatedRows& size = a.size;
  const bool eights = rows_of_eights(size, a.pitch) && aligned16({a.dgate, a.dother, a.dy, a.gate, a.other});
  with_float_type(name, a.type, [&]<class T>(T) {
    for_each8(name, stream, size.rows * size.half, eights,
              GatedBackward<T, Curve>{static_cast<T*>(a.dgate), static_cast<T*>(a.dother),
                                      static_cast<const T*>(a.dy), static_cast<const T*>(a.gate),
                                      static_cast<const T*>(a.other), size.half, a.pitch});
  });
}

}  // namespace

void silu_forward(CudaStream stream, const Activated& a) { forward<Silu>("silu_forward", stream, a); }
void silu_backward(CudaStream stream, const ActivatedGrad& a) { backward<Silu>("silu_backward", stream, a); }

void gelu_forward(CudaStream stream, const Activated& a, Gelu kind) {
  constexpr std::string_view kName = "gelu_forward";
  switch (kind) {
    case Gelu::erf:
      return forward<GeluErf>(kName, stream, a);
    case Gelu::tanh:
      return forward<GeluTanh>(kName, stream, a);
    case Gelu::quick:
      return forward<GeluQuick>(kName, stream, a);
  }
}
void gelu_backward(CudaStream stream, const ActivatedGrad& a, Gelu kind) {
  constexpr std::string_view kName = "gelu_backward";
  switch (kind) {
    case Gelu::erf:
      return backward<GeluErf>(kName, stream, a);
    case Gelu::tanh:
      return backward<GeluTanh>(kName, stream, a);
    case Gelu::quick:
      return backward<GeluQuick>(kName, stream, a);
  }
}

void geglu_forward(CudaStream stream, const GatedArgs& a) {
  gated_forward_of<GeluErf>("geglu_forward", stream, a);
}
void geglu_backward(CudaStream stream, const GatedGradArgs& a) {
  gated_backward_of<GeluErf>("geglu_backward", stream, a);
}
void swiglu_forward(CudaStream stream, const GatedArgs& a) {
  gated_forward_of<Silu>("swiglu_forward", stream, a);
}
void swiglu_backward(CudaStream stream, const GatedGradArgs& a) {
  gated_backward_of<Silu>("swiglu_backward", stream, a);
}

}  // namespace rankine::cuda
