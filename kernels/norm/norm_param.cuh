// Gains and biases as kernels of activations T read them.
#pragma once

#include "kernels/common/numeric.cuh"
#include "kernels/norm/norm_impl.h"

namespace rankine::cuda {

template <class T>
struct ParamReader {
  const void* data;  // null: all `absent`
  bool wide;         // fp32, not T
  float absent;

  __device__ float one(std::int64_t i) const {
    if (!data) return absent;
    return wide ? static_cast<const float*>(data)[i] : to_float(static_cast<const T*>(data)[i]);
  }
  __device__ Eight eight(std::int64_t i) const {
    if (!data) return {{absent, absent, absent, absent, absent, absent, absent, absent}};
    return wide ? load8(static_cast<const float*>(data) + i) : load8(static_cast<const T*>(data) + i);
  }
};
template <class T>
ParamReader<T> gain_of(const NormParam& p) {
  return {p.data, p.type == DType::f32, 1.0F};
}
template <class T>
ParamReader<T> bias_of(const NormParam& p) {
  return {p.data, p.type == DType::f32, 0.0F};
}

}  // namespace rankine::cuda
