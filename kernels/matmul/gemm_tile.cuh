// The parts of a tensor-core product on a tile: operands into shared memory, from there into fragments.
#pragma once

#include "kernels/common/intrinsics.cuh"
#include "kernels/common/launch.cuh"

namespace rankine::cuda {

// A tile of rows of 16-bit numbers in shared memory, in chunks of 8 numbers. A chunk's place in its row is
// exchanged by the row's number, so that 8 rows of one column of chunks (what ldmatrix reads) and 8
// neighbouring chunks (what a copy writes) lie in different banks.
template <int kRowCount, int kColumns>
struct SharedTile {
  static constexpr int kRows = kRowCount, kChunks = kColumns / 8, kSize = kRows * kColumns;
  static_assert((kChunks & (kChunks - 1)) == 0);
  static __device__ __forceinline__ int at(int row, int chunk) {
    constexpr int kRowsPer128Bytes = kChunks >= 8 ? 1 : 8 / kChunks;
    constexpr int kMask = (kChunks >= 8 ? 8 : kChunks) - 1;
    return (row * kChunks + (chunk ^ ((row / kRowsPer128Bytes) & kMask))) * 8;
  }
};

// What is left of a matrix from the first element of a tile on.
template <class T>
struct Window {
  const T* data;
  int pitch;
  int rows, columns;  // may be more than a tile has, or less than 1
};

// Starts the copy of a tile; what is beyond the matrix becomes zero. Rows are whole chunks, aligned.
template <class Tile, int kBlockThreads, class T>
__device__ __forceinline__ void copy_tile(T* shared, const Window<T>& from) {
  constexpr int kAll = Tile::kRows * Tile::kChunks;
#pragma unroll
  for (int i = 0; i < (kAll + kBlockThreads - 1) / kBlockThreads; ++i) {
    const int index = i * kBlockThreads + static_cast<int>(threadIdx.x);
    if (kAll % kBlockThreads != 0 && index >= kAll) break;
    const int row = index / Tile::kChunks, chunk = index % Tile::kChunks;
    const bool valid = row < from.rows && chunk * 8 < from.columns;
    const T* p = valid ? from.data + std::int64_t{row} * from.pitch + chunk * 8 : from.data;
    cp_async16(shared + Tile::at(row, chunk), p, valid);
  }
}

// The same for numbers that lie anyhow: element (row, column) at row * pitch + column * step.
template <class Tile, int kBlockThreads, class T>
__device__ __forceinline__ void gather_tile(T* shared, const Window<T>& from, int step) {
#pragma unroll 1
  for (int index = static_cast<int>(threadIdx.x); index < Tile::kRows * Tile::kChunks;
       index += kBlockThreads) {
    const int row = index / Tile::kChunks, chunk = index % Tile::kChunks;
    std::uint32_t words[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float pair[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int column = chunk * 8 + 2 * i + j;
        const bool valid = row < from.rows && column < from.columns;
        pair[j] =
            valid ? to_float(from.data[std::int64_t{row} * from.pitch + std::int64_t{column} * step]) : 0.0F;
      }
      words[i] = pack<T>(pair[0], pair[1]);
    }
    *reinterpret_cast<uint4*>(shared + Tile::at(row, chunk)) =
        make_uint4(words[0], words[1], words[2], words[3]);
  }
}

// The fragment of A: rows [row, row + 16), K [k, k + 16). Stored as (M, K), or with kStoredByK as (K, M).
template <class Tile, bool kStoredByK, class T>
__device__ __forceinline__ void load_a(std::uint32_t (&a)[4], const T* shared, int row, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kStoredByK) {
    ldmatrix<4, Transposed::yes>(a, shared + Tile::at(k + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
  } else {
    ldmatrix<4>(a, shared + Tile::at(row + lane % 16, k / 8 + lane / 16));
  }
}

// Two fragments of B: columns [column, column + 16), K [k, k + 16). Stored as (N, K), or with kStoredByK as
// (K, N).
template <class Tile, bool kStoredByK, class T>
__device__ __forceinline__ void load_b(std::uint32_t (&b0)[2], std::uint32_t (&b1)[2], const T* shared,
                                       int column, int k) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::uint32_t r[4];
  if constexpr (kStoredByK) {
    ldmatrix<4, Transposed::yes>(r, shared + Tile::at(k + lane % 16, column / 8 + lane / 16));
  } else {
    ldmatrix<4>(r, shared + Tile::at(column + lane / 16 * 8 + lane % 8, k / 8 + lane / 8 % 2));
  }
  b0[0] = r[0], b0[1] = r[1], b1[0] = r[2], b1[1] = r[3];
}

}  // namespace rankine::cuda
