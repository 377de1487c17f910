// Tiles of tokens of one head in shared memory, fragments in registers, and their products on tensor cores
// (layouts: kernels/common/intrinsics.cuh). Internal to this folder.
#pragma once

#include "kernels/common/intrinsics.cuh"
#include "kernels/common/reduce.cuh"

namespace rankine::cuda {

__device__ __forceinline__ int lane_id() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int warp_id() { return static_cast<int>(threadIdx.x) / kWarp; }

// kRows tokens by kWidth numbers. Rows are an odd number of 16-byte chunks apart, so that the eight rows that
// ldmatrix reads at a time lie in different banks.
template <class T_, int kRows_, int kWidth_>
struct Tile {
  using T = T_;
  static constexpr int kRows = kRows_, kWidth = kWidth_, kChunks = kWidth / 8, kPitch = (kChunks | 1) * 8;
  static constexpr int kNumbers = kRows * kPitch, kBytes = kNumbers * 2;
  T* data;

  __device__ T* at(int row, int col) const { return data + row * kPitch + col; }

  // Starts the copy of rows of `pitch` numbers, of which `width` count, from `rows` on: those in [begin, end)
  // of the tile; the others become zeros and are not read.
  template <int kBlock>
  __device__ void load(const T* rows, std::int64_t pitch, int width, int begin, int end) const {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kChunks; i += kBlock) {
      const int row = i / kChunks, col = i % kChunks * 8;
      const bool valid = row >= begin && row < end && col < width;
      cp_async16(at(row, col), valid ? rows + row * pitch + col : rows, valid);
    }
  }
};

// Sixteen rows as the left operand of products over their width: held in registers ...
template <int kWidth>
struct RegisterRows {
  static constexpr int kSteps = kWidth / 16, kTails = kWidth % 16 / 8;
  std::uint32_t full[kSteps][4], tail[kTails + 1][2];

  // From rows g and g + 8 of a head, of `width` numbers; flip is xored to every pair of numbers.
  template <class T>
  __device__ void load(const T* low, const T* high, int width, std::uint32_t flip) {
    const int t2 = lane_id() % 4 * 2;
    const auto pair = [&](const T* row, int col) -> std::uint32_t {
      return col < width ? *reinterpret_cast<const std::uint32_t*>(row + col + t2) ^ flip : 0;
    };
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      full[k][0] = pair(low, 16 * k), full[k][1] = pair(high, 16 * k);
      full[k][2] = pair(low, 16 * k + 8), full[k][3] = pair(high, 16 * k + 8);
    }
    if constexpr (kTails == 1) tail[0][0] = pair(low, 16 * kSteps), tail[0][1] = pair(high, 16 * kSteps);
  }
  __device__ void get(int k, std::uint32_t (&a)[4]) const {
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = full[k][i];
  }
  __device__ void get_tail(std::uint32_t (&a)[2]) const { a[0] = tail[0][0], a[1] = tail[0][1]; }
};
// ... or read from a tile when they are needed.
template <class Tile>
struct SharedRows {
  Tile tile;
  int first;
  std::uint32_t flip = 0;
  __device__ void get(int k, std::uint32_t (&a)[4]) const {
    ldmatrix<4>(a, tile.at(first + lane_id() % 16, 16 * k + lane_id() / 16 * 8));
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] ^= flip;
  }
  __device__ void get_tail(std::uint32_t (&a)[2]) const {
    ldmatrix<2>(a, tile.at(first + lane_id() % 16, Tile::kWidth - 8));
  }
};

// d[0], d[1] (16 x 16) += sixteen rows · rows [n, n + 16) of the tile, at columns [16k, 16k + 16).
template <class Tile>
__device__ __forceinline__ void dots_step(float (*d)[4], const std::uint32_t (&a)[4], const Tile& tile, int n,
                                          int k) {
  const int lane = lane_id();
  std::uint32_t b[4];
  ldmatrix<4>(b, tile.at(n + lane / 16 * 8 + lane % 8, 16 * k + lane / 8 % 2 * 8));
  mma_16x8x16<typename Tile::T>(d[0], a, {b[0], b[1]});
  mma_16x8x16<typename Tile::T>(d[1], a, {b[2], b[3]});
}
template <class Tile>
__device__ __forceinline__ void dots_tail(float (*d)[4], const std::uint32_t (&a)[2], const Tile& tile,
                                          int n) {
  std::uint32_t b[2];
  ldmatrix<2>(b, tile.at(n + lane_id() % 16, Tile::kWidth - 8));
  mma_16x8x8<typename Tile::T>(d[0], a, b[0]);
  mma_16x8x8<typename Tile::T>(d[1], a, b[1]);
}

// d (16 x kRows) += a (16 x kWidth) · tileᵀ
template <class A, class Tile>
__device__ __forceinline__ void dots(float (&d)[Tile::kRows / 8][4], const A& a, const Tile& tile) {
#pragma unroll
  for (int k = 0; k < Tile::kWidth / 16; ++k) {
    std::uint32_t left[4];
    a.get(k, left);
#pragma unroll
    for (int n = 0; n < Tile::kRows; n += 16) dots_step(d + n / 8, left, tile, n, k);
  }
  if constexpr (Tile::kWidth % 16 != 0) {
    std::uint32_t left[2];
    a.get_tail(left);
#pragma unroll
    for (int n = 0; n < Tile::kRows; n += 16) dots_tail(d + n / 8, left, tile, n);
  }
}

// Sixteen columns of a result d, rounded, as the left operand of the next product.
template <class T>
__device__ __forceinline__ void as_left(std::uint32_t (&a)[4], const float (*d)[4]) {
  a[0] = pack<T>(d[0][0], d[0][1]), a[1] = pack<T>(d[0][2], d[0][3]);
  a[2] = pack<T>(d[1][0], d[1][1]), a[3] = pack<T>(d[1][2], d[1][3]);
}

// d (16 x kWidth) += a (16 x 16) · rows [r, r + 16) of the tile
template <int kFragments, class Tile>
__device__ __forceinline__ void mix(float (&d)[kFragments][4], const std::uint32_t (&a)[4], const Tile& tile,
                                    int r) {
  static_assert(kFragments == Tile::kWidth / 8);
  const int lane = lane_id();
#pragma unroll
  for (int n = 0; n + 16 <= Tile::kWidth; n += 16) {
    std::uint32_t b[4];
    ldmatrix<4, Transposed::yes>(b, tile.at(r + lane % 16, n + lane / 16 * 8));
    mma_16x8x16<typename Tile::T>(d[n / 8], a, {b[0], b[1]});
    mma_16x8x16<typename Tile::T>(d[n / 8 + 1], a, {b[2], b[3]});
  }
  if constexpr (Tile::kWidth % 16 != 0) {
    std::uint32_t b[2];
    ldmatrix<2, Transposed::yes>(b, tile.at(r + lane % 16, Tile::kWidth - 8));
    mma_16x8x16<typename Tile::T>(d[kFragments - 1], a, b);
  }
}

// Stores scale * d[.][2 * half], [2 * half + 1], one row of a result of 16 rows, rounded.
template <class T, int kFragments>
__device__ __forceinline__ void store_row(T* row, const float (&d)[kFragments][4], int half, float scale,
                                          int width) {
#pragma unroll
  for (int n = 0; n < kFragments; ++n) {
    if (8 * n >= width) break;
    T* to = row + 8 * n + lane_id() % 4 * 2;
    const float low = scale * d[n][2 * half], high = scale * d[n][2 * half + 1];
    if constexpr (std::is_same_v<T, float>) {
      *reinterpret_cast<float2*>(to) = make_float2(low, high);
    } else {
      *reinterpret_cast<std::uint32_t*>(to) = pack<T>(low, high);
    }
  }
}

}  // namespace rankine::cuda
