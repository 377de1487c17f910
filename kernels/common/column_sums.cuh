// Sums over the rows of (samples, rows, cols), several at once, of terms that the caller computes.
#pragma once

#include "kernels/common/column_blocks.h"
#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"

namespace rankine::cuda {

// kWidth neighbours of a row: eight at an aligned address, or one.
template <int kWidth>
struct Several {
  float x[kWidth];
};
template <int kWidth, class T>
__device__ __forceinline__ auto load_as(const T* p) {
  if constexpr (kWidth == 8) {
    return load8(p);
  } else {
    static_assert(kWidth == 1);
    return Several<1>{{to_float(*p)}};
  }
}
template <class T>
__device__ __forceinline__ void store_as(T* p, const Eight& v) {
  store8(p, v);
}
template <class T>
__device__ __forceinline__ void store_as(T* p, const Several<1>& v) {
  *p = from_float<T>(v.x[0]);
}

// A block's threads: `lanes` neighbours on kWidth columns each, `tall` rows at a time.
struct ColumnTile {
  std::int64_t rows, cols, height, chunks;
  int lanes, tall;
};
template <int kWidth>
ColumnTile column_tile(const ColumnBlocks& b) {
  const std::int64_t lanes = (b.cols + kWidth - 1) / kWidth, strips = (lanes + 31) / 32;
  const auto each = static_cast<int>((lanes + strips - 1) / strips);
  return {b.rows, b.cols, b.height(), b.chunks(), each, kThreads / each};
}
// (samples * chunks, strips) blocks.
template <int kWidth>
dim3 column_grid(const ColumnBlocks& b) {
  const int lanes = column_tile<kWidth>(b).lanes;
  const std::int64_t strips = ((b.cols + kWidth - 1) / kWidth + lanes - 1) / lanes;
  return {static_cast<unsigned>(b.samples * b.chunks()), static_cast<unsigned>(strips)};
}

// What one thread of a tile works on: columns [col, col + kWidth) of the rows first, first + tall, ... below
// end of `sample`. A thread without work has first >= end.
struct ColumnTask {
  std::int64_t sample, chunk, col, first, end;
  int lane, row;
};
template <int kWidth>
__device__ __forceinline__ ColumnTask column_task(const ColumnTile& t) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % t.lanes, row = thread / t.lanes;
  const std::int64_t sample = blockIdx.x / t.chunks, chunk = blockIdx.x % t.chunks;
  const std::int64_t col = (std::int64_t{blockIdx.y} * t.lanes + lane) * kWidth;
  const std::int64_t begin = chunk * t.height;
  std::int64_t end = min(t.rows, begin + t.height);
  if (row >= t.tall || col >= t.cols) end = begin;
  return {sample, chunk, col, begin + row, end, lane, row};
}

// partial[s, sample, chunk, col] = sum of term s over the chunk's rows. terms.template at<kWidth>(sample,
// col) prepares what rows share; its add(sums, row) adds the terms of kWidth columns of a row to
// sums[kSums][kWidth].
template <int kWidth, int kSums, class Terms>
__global__ void __launch_bounds__(kThreads) column_sums_kernel(float* partial, ColumnTile t, Terms terms) {
  const ColumnTask task = column_task<kWidth>(t);
  float sums[kSums][kWidth] = {};
  if (task.first < task.end) {
    const auto own = terms.template at<kWidth>(task.sample, task.col);
    for (std::int64_t r = task.first; r < task.end; r += t.tall) own.add(sums, r);
  }
  float* shared = shared_memory<float>();  // (kSums, tall, lanes * kWidth)
  const int width = t.lanes * kWidth;
  if (task.row < t.tall) {
#pragma unroll
    for (int s = 0; s < kSums; ++s) {
#pragma unroll
      for (int e = 0; e < kWidth; ++e)
        shared[(s * t.tall + task.row) * width + task.lane * kWidth + e] = sums[s][e];
    }
  }
  __syncthreads();
  const std::int64_t first = std::int64_t{blockIdx.y} * width, plane = std::int64_t{gridDim.x} * t.cols;
  for (int i = static_cast<int>(threadIdx.x); i < kSums * width; i += kThreads) {
    const int s = i / width, col = i % width;
    if (first + col >= t.cols) continue;
    float sum = 0;
    for (int r = 0; r < t.tall; ++r) sum += shared[(s * t.tall + r) * width + col];
    partial[s * plane + blockIdx.x * t.cols + first + col] = sum;
  }
}

// Partial sums as they lie in memory: planes of (samples, chunks, cols).
struct Partials {
  const float* data;
  std::int64_t samples, chunks, cols;
};
inline constexpr int kFinishColumns = 32;
// finish(sample, col, sums) with the sums over all chunks. Blocks of 32 columns by 8 chunks at a time.
template <int kSums, class Finish>
__global__ void __launch_bounds__(kThreads) finish_columns_kernel(Partials p, Finish finish) {
  __shared__ float shared[kSums][kThreads];
  const int thread = static_cast<int>(threadIdx.x), row = thread / kFinishColumns;
  const std::int64_t sample = blockIdx.y;
  const std::int64_t col = std::int64_t{blockIdx.x} * kFinishColumns + thread % kFinishColumns;
  const std::int64_t plane = p.samples * p.chunks * p.cols;
  float sums[kSums] = {};
  for (std::int64_t k = row; k < p.chunks && col < p.cols; k += kThreads / kFinishColumns) {
    for (int s = 0; s < kSums; ++s) sums[s] += p.data[s * plane + (sample * p.chunks + k) * p.cols + col];
  }
  for (int s = 0; s < kSums; ++s) shared[s][thread] = sums[s];
  __syncthreads();
  if (row != 0 || col >= p.cols) return;
  for (int s = 0; s < kSums; ++s) {
    for (int r = 1; r < kThreads / kFinishColumns; ++r) sums[s] += shared[s][r * kFinishColumns + thread];
  }
  finish(sample, col, sums);
}

// The two as calls. `partial` holds kSums * blocks.partial() numbers.
template <int kWidth, int kSums, class Terms>
void column_partials(std::string_view op, CudaStream stream, const ColumnBlocks& b, float* partial,
                     const Terms& terms) {
  if (b.samples * b.rows * b.cols == 0) return;
  const ColumnTile tile = column_tile<kWidth>(b);
  const std::size_t shared =
      sizeof(float) * kSums * kWidth * static_cast<std::size_t>(tile.lanes * tile.tall);
  launch({.op = op,
          .grid = column_grid<kWidth>(b),
          .block = kThreads,
          .stream = stream,
          .shared_bytes = shared,
          .sizes = {b.samples, b.rows, b.cols}},
         column_sums_kernel<kWidth, kSums, Terms>, partial, tile, terms);
}
template <int kSums, class Finish>
void finish_columns(std::string_view op, CudaStream stream, const Partials& p, const Finish& finish) {
  if (p.samples * p.cols == 0) return;
  const dim3 grid(static_cast<unsigned>((p.cols + kFinishColumns - 1) / kFinishColumns),
                  static_cast<unsigned>(p.samples));
  launch(
      {.op = op, .grid = grid, .block = kThreads, .stream = stream, .sizes = {p.samples, p.chunks, p.cols}},
      finish_columns_kernel<kSums, Finish>, p, finish);
}

// The numbers themselves, whose sums are the sums of columns.
template <class T>
struct PlainTerms {
  const T* x;
  std::int64_t rows, cols;
  template <int kWidth>
  struct Own {
    const T* x;
    std::int64_t cols;
    __device__ void add(float (&sums)[1][kWidth], std::int64_t row) const {
      const auto v = load_as<kWidth>(x + row * cols);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) sums[0][e] += v.x[e];
    }
  };
  template <int kWidth>
  __device__ Own<kWidth> at(std::int64_t sample, std::int64_t col) const {
    return {x + sample * rows * cols + col, cols};
  }
};

}  // namespace rankine::cuda
