// CUDA side of the norms over rows with the middle of the adapters that read their result.
#include "kernels/common/middle.cuh"
#include "kernels/norm/norm_param.cuh"
#include "kernels/norm/row_stats.cuh"

namespace rankine::cuda {
namespace {

template <class T>
struct Forward {
  T* y;
  float* stats;
  const T* x;
  ParamReader<T> gain, bias;
  std::int64_t rows, cols;
  float eps;
  bool centred;
};

// This lane's eights of its two rows: kept in registers where kKeep turns are enough for a row, else read
// again.
template <class T, int kKeep>
struct TwoRows {
  const Forward<T>& a;
  MiddleLane lane;
  uint4 kept[kKeep > 0 ? kKeep : 1][2];

  __device__ __forceinline__ bool holds(std::int64_t col, int n) const {
    return lane.row + 8 * n < a.rows && col < a.cols;
  }
  __device__ __forceinline__ uint4 read(std::int64_t col, int n) const {
    return holds(col, n) ? load16(a.x + (lane.row + 8 * n) * a.cols + col) : make_uint4(0, 0, 0, 0);
  }
  __device__ __forceinline__ void keep() {
#pragma unroll
    for (int k = 0; k < kKeep; ++k) {
#pragma unroll
      for (int n = 0; n < 2; ++n) kept[k][n] = read(lane.col + k * kMiddleStride, n);
    }
  }
  // f(column, the two rows' eights), in all lanes of a warp alike; zeros where there is nothing.
  template <class F>
  __device__ __forceinline__ void each(const F& f) const {
    if constexpr (kKeep > 0) {
#pragma unroll
      for (int k = 0; k < kKeep; ++k) {
        if (k * kMiddleStride < a.cols) f(lane.col + k * kMiddleStride, kept[k]);
      }
    } else {
      for (std::int64_t turn = 0; turn < a.cols; turn += kMiddleStride) {
        const std::int64_t col = lane.col + turn;
        const uint4 now[2] = {read(col, 0), read(col, 1)};
        f(col, now);
      }
    }
  }
  // f(n, eight) for every chunk there is of row n.
  template <class F>
  __device__ __forceinline__ void each_chunk(const F& f) const {
    each([&](std::int64_t col, const uint4(&x)[2]) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        if (holds(col, n)) f(n, unpack8<T>(x[n]));
      }
    });
  }
};

// The block's sums of its 16 rows, in the order of lanes_sum() over the 32 lanes that share a row: four of a
// warp, then the warps. Every lane gets those of its two.
__device__ __forceinline__ void sum_rows(float (&v)[2], float (*scratch)[kMiddleRows]) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    v[n] += __shfl_xor_sync(kAllLanes, v[n], 1);
    v[n] += __shfl_xor_sync(kAllLanes, v[n], 2);
    if (lane % 4 == 0) scratch[warp][lane / 4 + 8 * n] = v[n];
  }
  __syncthreads();
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    float sums[kMiddleWarps];
#pragma unroll
    for (int w = 0; w < kMiddleWarps; ++w) sums[w] = scratch[w][lane / 4 + 8 * n];
#pragma unroll
    for (int width = kMiddleWarps / 2; width > 0; width /= 2) {
#pragma unroll
      for (int w = 0; w < width; ++w) sums[w] = sums[2 * w] + sums[2 * w + 1];
    }
    v[n] = sums[0];
  }
  __syncthreads();
}

struct TwoStats {
  RowStats row[2];
};
template <class T, int kKeep>
__device__ __forceinline__ TwoStats two_stats(const Forward<T>& a, const TwoRows<T, kKeep>& x) {
  __shared__ float scratch[kMiddleWarps][kMiddleRows];
  float rough[2] = {0, 0}, rest[2] = {0, 0}, square[2] = {0, 0};
  if (a.centred) {
    x.each_chunk([&](int n, const Eight& e) { rough[n] += chunk_sum(e); });
    sum_rows(rough, scratch);
#pragma unroll
    for (float& r : rough) r = mean_of(r, a.cols);
  }
  x.each_chunk([&](int n, const Eight& e) {
    const RowSums sums = chunk_sums(e, rough[n]);
    rest[n] += sums.rest;
    square[n] += sums.square;
  });
  if (a.centred) sum_rows(rest, scratch);
  sum_rows(square, scratch);
  TwoStats s;
#pragma unroll
  for (int n = 0; n < 2; ++n) {
    s.row[n] = stats_of(rough[n], {rest[n], square[n]}, a.cols, a.eps, a.centred);
    const std::int64_t row = x.lane.row + 8 * n;
    if (x.lane.col == 0 && row < a.rows) store_stats(a.stats, row, s.row[n], a.centred);
  }
  return s;
}

template <class T, int kTiles, int kKeep>
__global__ void __launch_bounds__(kThreads) norm_middle_kernel(Forward<T> a, MiddleTarget<T> m) {
  TwoRows<T, kKeep> x{a, middle_lane(), {}};
  x.keep();
  const TwoStats s = two_stats(a, x);
  MiddleSums<T, kTiles> sums;
  x.each([&](std::int64_t col, const uint4(&from)[2]) {
    uint4 packed[2] = {};
    if (col < a.cols) {
      const Eight gain = a.gain.eight(col), bias = a.bias.eight(col);
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        if (!x.holds(col, n)) continue;
        Eight e = unpack8<T>(from[n]);
#pragma unroll
        for (int k = 0; k < 8; ++k) e.x[k] = fmaf(normalised(e.x[k], s.row[n]), gain.x[k], bias.x[k]);
        packed[n] = pack8<T>(e);
        store16(a.y + (x.lane.row + 8 * n) * a.cols + col, packed[n]);
      }
    }
    sums.add(m, a.cols, col, packed);
  });
  sums.store(m, a.rows, shared_memory<float>());
}

}  // namespace

void norm_rows_forward_with_middle(std::string_view op, CudaStream stream, const TypedRowNorm& a,
                                   const MiddleArgs& m) {
  if (a.rows == 0) return;
  constexpr int kKeep = 5;  // rows up to 1280
  with_half_type(op, a.type, [&]<class T>(T) {
    const Forward<T> args{static_cast<T*>(a.y),
                          a.stats,
                          static_cast<const T*>(a.x),
                          gain_of<T>(a.gain),
                          bias_of<T>(a.bias),
                          a.rows,
                          a.cols,
                          a.eps,
                          a.centred};
    const bool keep = a.cols <= kKeep * kMiddleStride;
    if (m.rank <= 16) {
      launch(middle_launch<1>(op, stream, a.rows, a.cols, m.rank),
             keep ? norm_middle_kernel<T, 1, kKeep> : norm_middle_kernel<T, 1, 0>, args, middle_target<T>(m));
    } else {
      launch(middle_launch<4>(op, stream, a.rows, a.cols, m.rank),
             keep ? norm_middle_kernel<T, 4, kKeep> : norm_middle_kernel<T, 4, 0>, args, middle_target<T>(m));
    }
  });
}

}  // namespace rankine::cuda
