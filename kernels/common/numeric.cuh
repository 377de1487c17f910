// The number types of CUDA kernels: fp32, fp16 and bf16 as storage, fp32 as arithmetic, 16 bytes at a time.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include "engine/core/dtype.h"
#include "engine/core/error.h"

namespace rankine::cuda {

__device__ __forceinline__ float to_float(float x) { return x; }
__device__ __forceinline__ float to_float(__half x) { return __half2float(x); }
__device__ __forceinline__ float to_float(__nv_bfloat16 x) { return __bfloat162float(x); }

// Rounds to nearest, ties to even.
template <class T>
__device__ __forceinline__ T from_float(float x) {
  if constexpr (std::is_same_v<T, __half>)
    return __float2half_rn(x);
  else if constexpr (std::is_same_v<T, __nv_bfloat16>)
    return __float2bfloat16_rn(x);
  else
    return x;
}

// Two neighbours in one register, the lower one in the low half: what mma fragments are made of.
template <class T>
__device__ __forceinline__ std::uint32_t pack(float low, float high) {
  if constexpr (std::is_same_v<T, __half>) {
    const __half2 v = __floats2half2_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&v);
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    const __nv_bfloat162 v = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const std::uint32_t*>(&v);
  }
}
template <class T>
__device__ __forceinline__ float2 unpack(std::uint32_t v) {
  if constexpr (std::is_same_v<T, __half>) {
    return __half22float2(*reinterpret_cast<const __half2*>(&v));
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    return __bfloat1622float2(*reinterpret_cast<const __nv_bfloat162*>(&v));
  }
}

// Eight numbers of a row, as fp32. `p` must be aligned to 16 bytes.
struct Eight {
  float x[8];
};
template <class T>
__device__ __forceinline__ Eight load8(const T* p) {
  Eight e;
  if constexpr (std::is_same_v<T, float>) {
    const float4 a = reinterpret_cast<const float4*>(p)[0], b = reinterpret_cast<const float4*>(p)[1];
    e.x[0] = a.x, e.x[1] = a.y, e.x[2] = a.z, e.x[3] = a.w;
    e.x[4] = b.x, e.x[5] = b.y, e.x[6] = b.z, e.x[7] = b.w;
  } else {
    const uint4 v = *reinterpret_cast<const uint4*>(p);
    const std::uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = unpack<T>(words[i]);
      e.x[2 * i] = pair.x, e.x[2 * i + 1] = pair.y;
    }
  }
  return e;
}
template <class T>
__device__ __forceinline__ void store8(T* p, const Eight& e) {
  if constexpr (std::is_same_v<T, float>) {
    reinterpret_cast<float4*>(p)[0] = make_float4(e.x[0], e.x[1], e.x[2], e.x[3]);
    reinterpret_cast<float4*>(p)[1] = make_float4(e.x[4], e.x[5], e.x[6], e.x[7]);
  } else {
    *reinterpret_cast<uint4*>(p) = make_uint4(pack<T>(e.x[0], e.x[1]), pack<T>(e.x[2], e.x[3]),
                                              pack<T>(e.x[4], e.x[5]), pack<T>(e.x[6], e.x[7]));
  }
}
// Whether rows of `cols` numbers of T from p on can be read by load8.
template <class T>
bool aligned8(const void* p, std::int64_t cols) {
  return cols % 8 == 0 && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

// Calls f(T{}) with the type that `dtype` stores; on the host, to choose an instance of a kernel.
template <class F>
decltype(auto) with_float_type(std::string_view op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(float{});
    case DType::f16:
      return f(__half{});
    case DType::bf16:
      return f(__nv_bfloat16{});
    default:
      throw ShapeError(join(op, ": no CUDA kernel for ", name_of(dtype)));
  }
}
// The same for what runs on tensor cores: fp16 and bf16.
template <class F>
decltype(auto) with_half_type(std::string_view op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::f16:
      return f(__half{});
    case DType::bf16:
      return f(__nv_bfloat16{});
    default:
      throw ShapeError(join(op, ": expected f16 or bf16 on CUDA, got ", name_of(dtype)));
  }
}

}  // namespace rankine::cuda
