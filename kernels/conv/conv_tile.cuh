// One block's part of a matrix product on tensor cores: operand tiles in shared memory, filled by cp.async
// some steps ahead, multiplied by warps, and the result handed over as rows of eight numbers.
#pragma once

#include "kernels/common/intrinsics.cuh"
#include "kernels/common/launch.cuh"

namespace rankine::cuda {

// kRows x kCols of the result by warps of kWarpRows x kWarpCols; kBlocks of them share a multiprocessor.
template <int kRows_, int kCols_, int kWarpRows_, int kWarpCols_, int kBlocks_>
struct MmaTile {
  static constexpr int kRows = kRows_, kCols = kCols_, kWarpRows = kWarpRows_, kWarpCols = kWarpCols_;
  static constexpr int kBlocks = kBlocks_, kDepth = 32, kStages = 3;
  static constexpr int kWarpsAcross = kCols / kWarpCols;
  static constexpr int kThreads = 32 * (kRows / kWarpRows) * kWarpsAcross;
  static constexpr int kRowTiles = kWarpRows / 16, kColTiles = kWarpCols / 8;
  static constexpr int kStage = (kRows + kCols) * kDepth;  // 16-bit numbers
  static constexpr std::size_t kSharedBytes = std::size_t{2} * kStages * kStage;
  // Results pass through a slab per warp, padded so that fragments and rows are both free of bank conflicts.
  static constexpr int kSlabPitch = kWarpCols + 8, kSlab = 16 * kSlabPitch;
  static_assert(sizeof(float) * kSlab * (kThreads / 32) <= kSharedBytes && kWarpCols == 32);
};

// Operand tiles are kept as they are read. `across`: rows of the operand, each kDepth = 32 numbers of the
// sum in four 16-byte pieces; `along`: kDepth rows of the sum, each kWidth numbers. The pieces of a row are
// permuted so that neither the copies nor ldmatrix meet a bank twice.
__device__ inline int across_at(int row, int piece) { return row * 32 + ((piece ^ (row >> 1)) & 3) * 8; }
template <int kWidth>
__device__ inline int along_at(int k, int piece) {
  return k * kWidth + (piece ^ (k & 7)) * 8;
}

// Sixteen rows from `row` and sixteen steps of the sum from 16 * step on, as fragments of a.
template <class Load, int kWidth, class T>
__device__ inline void load_a(std::uint32_t (&a)[4], const T* tile, int row, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Load::kAlong) {
    const int k = step * 16 + lane % 8 + lane / 16 * 8;
    ldmatrix<4, Transposed::yes>(a, tile + along_at<kWidth>(k, row / 8 + lane / 8 % 2));
  } else {
    ldmatrix<4>(a, tile + across_at(row + lane % 16, step * 2 + lane / 16));
  }
}
// The same of b, for two neighbouring tiles of eight columns.
template <class Load, int kWidth, class T>
__device__ inline void load_b(std::uint32_t (&b)[4], const T* tile, int col, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (Load::kAlong) {
    ldmatrix<4, Transposed::yes>(b, tile + along_at<kWidth>(step * 16 + lane % 16, col / 8 + lane / 16));
  } else {
    ldmatrix<4>(b, tile + across_at(col + lane % 8 + lane / 16 * 8, step * 2 + lane / 8 % 2));
  }
}

template <class Tile>
struct Accumulators {
  float x[Tile::kRowTiles][Tile::kColTiles][4];
};

template <class Tile, class A, class B, class T>
__device__ inline void multiply_stage(Accumulators<Tile>& acc, const T* a_tile, const T* b_tile) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int row = warp / Tile::kWarpsAcross * Tile::kWarpRows,
            col = warp % Tile::kWarpsAcross * Tile::kWarpCols;
#pragma unroll
  for (int step = 0; step < Tile::kDepth / 16; ++step) {
    std::uint32_t b[Tile::kColTiles / 2][4];
#pragma unroll
    for (int j = 0; j < Tile::kColTiles / 2; ++j) load_b<B, Tile::kCols>(b[j], b_tile, col + 16 * j, step);
#pragma unroll
    for (int i = 0; i < Tile::kRowTiles; ++i) {
      std::uint32_t a[4];
      load_a<A, Tile::kRows>(a, a_tile, row + 16 * i, step);
#pragma unroll
      for (int j = 0; j < Tile::kColTiles; ++j) {
        const std::uint32_t pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        mma_16x8x16<T>(acc.x[i][j], a, pair);
      }
    }
  }
}

// acc = the sum over `steps` steps. `a.load(tile)` and `b.load(tile)` start the copies of their next step.
template <class Tile, class T, class A, class B>
__device__ inline void multiply(Accumulators<Tile>& acc, A& a, B& b, int steps) {
  constexpr int kAhead = Tile::kStages - 1, kB = Tile::kRows * Tile::kDepth;
  T* shared = shared_memory<T>();
#pragma unroll
  for (int i = 0; i < Tile::kRowTiles * Tile::kColTiles * 4; ++i) {
    acc.x[i / 4 / Tile::kColTiles][i / 4 % Tile::kColTiles][i % 4] = 0;
  }
  const auto load = [&](int step) {
    if (step < steps) {
      T* stage = shared + step % Tile::kStages * Tile::kStage;
      a.load(stage);
      b.load(stage + kB);
    }
    cp_async_commit();
  };
  for (int step = 0; step < kAhead; ++step) load(step);
  for (int step = 0; step < steps; ++step) {
    cp_async_wait<kAhead - 1>();
    __syncthreads();
    load(step + kAhead);
    const T* stage = shared + step % Tile::kStages * Tile::kStage;
    multiply_stage<Tile, A, B>(acc, stage, stage + kB);
  }
  __syncthreads();  // the tiles' memory is free
}

// Calls store(row, column, eight numbers) for the block's results, coordinates counted from its corner.
template <class Tile, class Store>
__device__ inline void store_tile(const Accumulators<Tile>& acc, const Store& store) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int row = warp / Tile::kWarpsAcross * Tile::kWarpRows,
            col = warp % Tile::kWarpsAcross * Tile::kWarpCols;
  float* slab = shared_memory<float>() + warp * Tile::kSlab;
#pragma unroll
  for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < Tile::kColTiles; ++j) {
      float* at = slab + lane / 4 * Tile::kSlabPitch + 8 * j + lane % 4 * 2;
      *reinterpret_cast<float2*>(at) = make_float2(acc.x[i][j][0], acc.x[i][j][1]);
      *reinterpret_cast<float2*>(at + 8 * Tile::kSlabPitch) = make_float2(acc.x[i][j][2], acc.x[i][j][3]);
    }
    __syncwarp();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int r = 8 * half + lane / 4, c = lane % 4 * 8;
      store(row + 16 * i + r, col + c, load8(slab + r * Tile::kSlabPitch + c));
    }
    __syncwarp();
  }
}

}  // namespace rankine::cuda
