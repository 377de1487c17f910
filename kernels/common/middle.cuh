// Sums for S = y · downᵀ of 16 rows per block, fed with y as it is made: lane 4g + t of a warp makes eight
// neighbours of row g and eight of row g + 8, which are fragments of mma as they stand (the order of the
// columns within a sum is free, as long as y and down have the same). The warps take turns over 32 columns
// each, and add up at the end in order.
#pragma once

#include "kernels/common/intrinsics.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/middle.h"
#include "kernels/common/reduce.cuh"

namespace rankine::cuda {

inline constexpr int kMiddleRows = 16, kMiddleWarps = kThreads / kWarp;
inline constexpr int kMiddleCols = 32;                            // of one turn of a warp
inline constexpr int kMiddleStride = kMiddleCols * kMiddleWarps;  // of one turn of a block

template <class T>
__device__ __forceinline__ uint4 pack8(const Eight& e) {
  return make_uint4(pack<T>(e.x[0], e.x[1]), pack<T>(e.x[2], e.x[3]), pack<T>(e.x[4], e.x[5]),
                    pack<T>(e.x[6], e.x[7]));
}
template <class T>
__device__ __forceinline__ Eight unpack8(const uint4& v) {
  const float2 a = unpack<T>(v.x), b = unpack<T>(v.y), c = unpack<T>(v.z), d = unpack<T>(v.w);
  return {{a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y}};
}
__device__ __forceinline__ uint4 load16(const void* p) { return *static_cast<const uint4*>(p); }
__device__ __forceinline__ void store16(void* p, const uint4& v) { *static_cast<uint4*>(p) = v; }

// Where a lane stands: its rows first and first + 8, and its first column; the next are kMiddleStride apart.
struct MiddleLane {
  std::int64_t row, col;
};
__device__ __forceinline__ MiddleLane middle_lane() {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  return {std::int64_t{blockIdx.x} * kMiddleRows + lane / 4, warp * kMiddleCols + lane % 4 * 8};
}

template <class T>
struct MiddleTarget {
  T* s;           // (rows, rank)
  const T* down;  // (rank, cols)
  int rank;
  bool aligned;  // down's address: factors lie in one buffer, wherever their sizes put them

  // Eight of down from element i, a multiple of 8, on.
  __device__ __forceinline__ uint4 eight(std::int64_t i) const {
    if (aligned) return load16(down + i);
    Eight e;
#pragma unroll
    for (int k = 0; k < 8; ++k) e.x[k] = to_float(down[i + k]);
    return pack8<T>(e);
  }
};
template <class T>
MiddleTarget<T> middle_target(const MiddleArgs& m) {
  return {static_cast<T*>(m.s), static_cast<const T*>(m.down), static_cast<int>(m.rank),
          reinterpret_cast<std::uintptr_t>(m.down) % 16 == 0};
}

template <class T, int kTiles>  // ranks in tiles of 16
struct MiddleSums {
  float sums[kTiles][2][4] = {};

  // y's eights at column `col` of rows g and g + 8; zeros where there is none. All lanes of the warp call.
  __device__ __forceinline__ void add(const MiddleTarget<T>& m, std::int64_t cols, std::int64_t col,
                                      const uint4 (&y)[2]) {
    const int g = static_cast<int>(threadIdx.x) % kWarp / 4;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      if (tile * 16 >= m.rank) break;
      uint4 a[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int rank = tile * 16 + half * 8 + g;
        a[half] = make_uint4(0, 0, 0, 0);
        if (rank < m.rank && col < cols) a[half] = m.eight(rank * cols + col);
      }
      const std::uint32_t left[4] = {a[0].x, a[1].x, a[0].y, a[1].y};
      const std::uint32_t right[4] = {a[0].z, a[1].z, a[0].w, a[1].w};
#pragma unroll
      for (int n = 0; n < 2; ++n) {
        const std::uint32_t upper[2] = {y[n].x, y[n].y}, lower[2] = {y[n].z, y[n].w};
        mma_16x8x16<T>(sums[tile][n], left, upper);
        mma_16x8x16<T>(sums[tile][n], right, lower);
      }
    }
  }

  // Adds the warps' sums and writes the block's rows of S. `shared` holds kMiddleShared<kTiles> bytes.
  __device__ void store(const MiddleTarget<T>& m, std::int64_t rows, float* shared) const {
    constexpr int kPlane = kTiles * 16 * kMiddleRows;  // (rank, row)
    const int lane = static_cast<int>(threadIdx.x) % kWarp, g = lane / 4, t = lane % 4;
    float* own = shared + static_cast<int>(threadIdx.x) / kWarp * kPlane;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int n = 0; n < 2; ++n) {
#pragma unroll
        for (int i = 0; i < 4; ++i)
          own[(tile * 16 + g + i / 2 * 8) * kMiddleRows + n * 8 + 2 * t + i % 2] = sums[tile][n][i];
      }
    }
    __syncthreads();
    const std::int64_t first = std::int64_t{blockIdx.x} * kMiddleRows;
    for (int i = static_cast<int>(threadIdx.x); i < m.rank * kMiddleRows; i += kThreads) {
      const int row = i / m.rank, rank = i % m.rank;
      if (first + row >= rows) break;
      float sum = 0;
      for (int warp = 0; warp < kMiddleWarps; ++warp) sum += shared[warp * kPlane + rank * kMiddleRows + row];
      m.s[(first + row) * m.rank + rank] = from_float<T>(sum);
    }
  }
};
template <int kTiles>
inline constexpr std::size_t kMiddleShared = sizeof(float) * kMiddleWarps* kTiles * 16 * kMiddleRows;

// How a kernel that makes `rows` rows of y with their middle is launched.
template <int kTiles>
Launch middle_launch(std::string_view op, CudaStream stream, std::int64_t rows, std::int64_t cols,
                     std::int64_t rank) {
  return {.op = op,
          .grid = static_cast<unsigned>((rows + kMiddleRows - 1) / kMiddleRows),
          .block = kThreads,
          .stream = stream,
          .shared_bytes = kMiddleShared<kTiles>,
          .sizes = {rows, cols, rank}};
}

}  // namespace rankine::cuda
