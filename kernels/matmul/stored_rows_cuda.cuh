// Rows of stored weights, and of activations of any type, eight numbers at a time: what products of few rows
// and table look-ups read.
#pragma once

#include "kernels/matmul/decode_cuda.cuh"

namespace rankine::cuda {

// Numbers stored one by one, with the interface of a format for rows.
template <class T>
struct Plain {
  using Number = T;
  static constexpr bool kTable = false;
};

// Eight numbers of a stored row, from number `k` on, a multiple of 8; zeros beyond `cols`, which only plain
// numbers know. `aligned`: rows of plain numbers can be read 16 bytes at a time.
struct RowPlace {
  std::int64_t k, cols;
  bool aligned;
};
template <class F>
__device__ __forceinline__ void read_row(const std::uint8_t* row, const RowPlace& at, const float* table,
                                         Eight& y) {
  F::decode(row + at.k / F::kElements * F::kBytes, static_cast<int>(at.k % F::kElements), table, y);
}
template <class T>
__device__ __forceinline__ Eight read_plain(const T* row, const RowPlace& at) {
  if (at.aligned) return load8(row + at.k);
  Eight y;
#pragma unroll
  for (int i = 0; i < 8; ++i) y.x[i] = at.k + i < at.cols ? to_float(row[at.k + i]) : 0.0F;
  return y;
}
template <class F>
requires std::is_same_v<F, Plain<typename F::Number>> __device__ __forceinline__ void read_row(
    const std::uint8_t* row, const RowPlace& at, const float*, Eight& y) {
  y = read_plain(reinterpret_cast<const typename F::Number*>(row), at);
}

// Calls f(Format{}) for a weight of any type.
template <class F>
decltype(auto) with_weight_format(std::string_view op, DType type, F&& f) {
  if (is_block(type)) return with_block_format(op, type, f);
  return with_float_type(op, type, [&](auto number) { return f(Plain<decltype(number)>{}); });
}
// Whether rows of `cols` plain numbers from p on can be read by load8.
inline bool plain_aligned(const void* p, DType type, std::int64_t cols) {
  return !is_block(type) && cols % 8 == 0 && reinterpret_cast<std::uintptr_t>(p) % 16 == 0;
}

// Activations whose type is known when the kernel runs: one instance of a kernel serves all three.
__device__ __forceinline__ Eight load_activations(const void* row, DType type, const RowPlace& at) {
  if (type == DType::f16) return read_plain(static_cast<const __half*>(row), at);
  if (type == DType::bf16) return read_plain(static_cast<const __nv_bfloat16*>(row), at);
  return read_plain(static_cast<const float*>(row), at);
}
__device__ __forceinline__ float load_number(const void* p, DType type, std::int64_t i) {
  if (type == DType::f16) return to_float(static_cast<const __half*>(p)[i]);
  if (type == DType::bf16) return to_float(static_cast<const __nv_bfloat16*>(p)[i]);
  return static_cast<const float*>(p)[i];
}
__device__ __forceinline__ void store_number(void* p, DType type, std::int64_t i, float x) {
  if (type == DType::f16)
    static_cast<__half*>(p)[i] = from_float<__half>(x);
  else if (type == DType::bf16)
    static_cast<__nv_bfloat16*>(p)[i] = from_float<__nv_bfloat16>(x);
  else
    static_cast<float*>(p)[i] = x;
}

__device__ __forceinline__ void store_activations(void* row, DType type, const RowPlace& at, const Eight& e) {
  if (!at.aligned) {
    for (int i = 0; i < 8 && at.k + i < at.cols; ++i) store_number(row, type, at.k + i, e.x[i]);
  } else if (type == DType::f16) {
    store8(static_cast<__half*>(row) + at.k, e);
  } else if (type == DType::bf16) {
    store8(static_cast<__nv_bfloat16*>(row) + at.k, e);
  } else {
    store8(static_cast<float*>(row) + at.k, e);
  }
}

}  // namespace rankine::cuda
