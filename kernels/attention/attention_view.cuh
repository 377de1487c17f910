// What the CUDA kernels of attention share: sizes, the keys a row sees, heads by their size. Internal to this
// folder.
#pragma once

#include <climits>
#include <type_traits>

#include "kernels/attention/attention_impl.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/common/reduce.cuh"

namespace rankine::cuda {

inline constexpr float kLog2E = 1.4426950408889634F, kLn2 = 0.6931471805599453F;

// Keys [begin, end); {INT_MAX, 0} where there is none.
struct KeySpan {
  int begin = INT_MAX, end = 0;
};

// AttentionSize as kernels use it: tokens fit an int, as the door checks; offsets do not.
struct AttentionView {
  int samples, queries, keys, heads, kv_heads, width;
  bool causal;
  float scale;
  const std::int32_t* visible;

  static AttentionView of(const AttentionSize& s) {
    return {static_cast<int>(s.samples),
            static_cast<int>(s.queries),
            static_cast<int>(s.keys),
            static_cast<int>(s.heads),
            static_cast<int>(s.kv_heads),
            static_cast<int>(s.width),
            s.causal,
            s.scale,
            s.visible};
  }
  __device__ int group() const { return heads / kv_heads; }
  __device__ std::int64_t q_pitch() const { return std::int64_t{heads} * width; }
  __device__ std::int64_t kv_pitch() const { return std::int64_t{kv_heads} * width; }
  // As in AttentionSize; a lane is sample * heads + head.
  __device__ std::int64_t q_offset(int lane, int row) const {
    return (std::int64_t{lane / heads} * queries + row) * q_pitch() + std::int64_t{lane % heads} * width;
  }
  __device__ std::int64_t kv_offset(int lane, int key) const {
    return (std::int64_t{lane / heads} * keys + key) * kv_pitch() +
           std::int64_t{lane % heads / group()} * width;
  }
  // Nobody has read the ranges on the host: what points outside is cut off.
  __device__ KeySpan seen(int sample, int row) const {
    KeySpan s{0, causal ? row + 1 + keys - queries : keys};
    if (visible) {
      const std::int32_t* range = visible + 2 * (std::int64_t{sample} * queries + row);
      s = {max(0, range[0]), min(s.end, range[1])};
    }
    return s.begin < s.end ? s : KeySpan{};
  }
};

__device__ __forceinline__ int warp_min(int x) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = min(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}
__device__ __forceinline__ int warp_max(int x) {
#pragma unroll
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x = max(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

// Of some rows: the keys from the first to the last that one of them sees, and those that all of them see.
struct RowsSee {
  KeySpan any, all;
};
// Of rows [first, first + rows) of a sample, cut at the last. All 32 lanes call; every lane gets the result.
__device__ inline RowsSee rows_see(const AttentionView& v, int sample, int first, int rows) {
  KeySpan any, all{0, INT_MAX};
  for (int r = static_cast<int>(threadIdx.x) % kWarp; r < min(rows, v.queries - first); r += kWarp) {
    const KeySpan s = v.seen(sample, first + r);
    any = {min(any.begin, s.begin), max(any.end, s.end)};
    all = {max(all.begin, s.begin), min(all.end, s.end)};
  }
  return {{warp_min(any.begin), warp_max(any.end)}, {warp_max(all.begin), warp_min(all.end)}};
}

inline unsigned grid_of(std::string_view op, std::int64_t blocks) {
  require<ShapeError>(blocks <= INT_MAX, op, ": too many tokens and heads for one launch");
  return static_cast<unsigned>(blocks);
}
constexpr std::int64_t tiles_of(std::int64_t n, std::int64_t each) { return (n + each - 1) / each; }

// Head sizes that kernels on tensor cores are compiled for; others run in the next one with columns of zeros.
inline constexpr int kWidestHead = 256, kWidestForward = 512;
template <class F>
void with_head_class(std::int64_t width, F&& f) {
  bool done = false;
  const auto offer = [&]<int kWidth>(std::integral_constant<int, kWidth> c) {
    if (!done && width <= kWidth) {
      f(c);
      done = true;
    }
  };
  [&]<int... kWidths>(std::integer_sequence<int, kWidths...>) {
    (offer(std::integral_constant<int, kWidths>{}), ...);
  }
  (std::integer_sequence<int, 32, 40, 64, 80, 96, 128, 160, 256>{});
}
// Whether tensors allow it: 16-bit numbers in rows that 16-byte copies can read.
template <class... Pointers>
bool on_tensor_cores(DType dtype, std::int64_t width, Pointers... tensors) {
  const bool aligned = ((reinterpret_cast<std::uintptr_t>(tensors) % 16 == 0) && ...);
  return dtype != DType::f32 && width % 8 == 0 && aligned;
}

// The paths that the doors in attention_cuda.cu and attention_backward_cuda.cu choose from.
void attention_few(CudaStream stream, const AttentionForwardArgs& a);          // few queries, many keys
void attention_any_forward(CudaStream stream, const AttentionForwardArgs& a);  // any type and head size
void attention_any_backward(CudaStream stream, const AttentionBackwardArgs& a);
void attention_row_facts(CudaStream stream, const AttentionBackwardArgs& a);
void attention_backward_keys(CudaStream stream, const AttentionBackwardArgs& a);     // dk, dv
void attention_backward_queries(CudaStream stream, const AttentionBackwardArgs& a);  // dq

// Rows of a tile whose keys are listed for backward, where rows see ranges.
inline constexpr int kBackwardRows = AttentionSize::kBackwardRows;

// What backward knows of one row of a head before it starts; written by attention_row_facts.
struct alignas(16) RowFacts {
  float lse;  // in base 2
  float delta;
  int begin;  // of the keys it sees
  unsigned length;

  __device__ bool sees(int key) const { return static_cast<unsigned>(key - begin) < length; }
};

}  // namespace rankine::cuda
