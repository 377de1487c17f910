// Loops over the elements of tensors, eight at a time where their addresses allow it.
#pragma once

#include <initializer_list>

#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"

namespace rankine::cuda {

template <class F>
__global__ void __launch_bounds__(kThreads) for_each8_kernel(std::int64_t eights, std::int64_t n, F f) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  const std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::int64_t i = first; i < eights; i += stride) f.eight(8 * i);
  for (std::int64_t i = 8 * eights + first; i < n; i += stride) f.one(i);
}

// Runs f.eight(i) for i = 0, 8, 16, ... and f.one(i) for what is left below n, or, unless `by_eights`, f.one
// for all.
template <class F>
void for_each8(std::string_view op, CudaStream stream, std::int64_t n, bool by_eights, const F& f) {
  if (n <= 0) return;
  const std::int64_t eights = by_eights ? n / 8 : 0, items = std::max(eights, n - 8 * eights);
  const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, (items + kThreads - 1) / kThreads));
  launch({.op = op, .grid = blocks, .block = kThreads, .stream = stream, .sizes = {n}}, for_each8_kernel<F>,
         eights, n, f);
}

// Whether load8 and store8 can be used from each of these addresses on.
inline bool aligned16(std::initializer_list<const void*> pointers) {
  return std::all_of(pointers.begin(), pointers.end(),
                     [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

// f(U{}) with the type that `dtype` stores, where that is fp32 or T: what stands beside activations of type
// T.
template <class T, class F>
void with_float_or(T, DType dtype, F&& f) {
  if (dtype == DType::f32) {
    f(float{});
  } else {
    f(T{});
  }
}

// out_j[i] = op(in_0[i], in_1[i], ...)_j; op(float (&y)[kOut], const float (&x)[kIn]). An output may be an
// input.
template <class T, int kOut, int kIn, class Op>
struct Map {
  Op op;
  T* out[kOut];
  const T* in[kIn];

  __device__ void one(std::int64_t i) const {
    float x[kIn], y[kOut];
    for (int k = 0; k < kIn; ++k) x[k] = to_float(in[k][i]);
    op(y, x);
    for (int k = 0; k < kOut; ++k) out[k][i] = from_float<T>(y[k]);
  }
  __device__ void eight(std::int64_t i) const {
    Eight from[kIn], to[kOut];
#pragma unroll
    for (int k = 0; k < kIn; ++k) from[k] = load8(in[k] + i);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      float x[kIn], y[kOut];
      for (int k = 0; k < kIn; ++k) x[k] = from[k].x[e];
      op(y, x);
      for (int k = 0; k < kOut; ++k) to[k].x[e] = y[k];
    }
#pragma unroll
    for (int k = 0; k < kOut; ++k) store8(out[k] + i, to[k]);
  }
};

struct MapSize {
  std::int64_t n;
  DType type;
};
template <int kOut, int kIn, class Op>
void map_elements(std::string_view name, CudaStream stream, MapSize size, void* const (&out)[kOut],
                  const void* const (&in)[kIn], const Op& op) {
  with_float_type(name, size.type, [&]<class T>(T) {
    Map<T, kOut, kIn, Op> map{op, {}, {}};
    bool aligned = true;
    for (int k = 0; k < kOut; ++k) map.out[k] = static_cast<T*>(out[k]), aligned &= aligned16({out[k]});
    for (int k = 0; k < kIn; ++k) map.in[k] = static_cast<const T*>(in[k]), aligned &= aligned16({in[k]});
    for_each8(name, stream, size.n, aligned, map);
  });
}

}  // namespace rankine::cuda
