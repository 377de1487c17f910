// Where the results of conv's kernels go: into the output, or, when the sum is split, into one of the partial
// results that `add_splits` adds in their order.
#pragma once

#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/conv/conv_impl.h"

namespace rankine::cuda {

// Numbers of a type known at run time: what is read rarely needs no instance of its own.
struct AnyFloat {
  const void* data;
  DType type;
  __device__ float operator[](std::int64_t i) const {
    if (type == DType::f32) return static_cast<const float*>(data)[i];
    if (type == DType::f16) return to_float(static_cast<const __half*>(data)[i]);
    return to_float(static_cast<const __nv_bfloat16*>(data)[i]);
  }
};

template <class T>
struct ConvOutput {
  T* to;
  float* partial;     // null: the sum is whole
  std::int64_t size;  // of `to`
  AnyFloat bias;      // per column, or null
  int cols;
  bool accumulate, eights;  // eights: rows of `to` can be written 16 bytes at a time

  __device__ float finish(std::int64_t i, int col, float x) const {
    if (bias.data != nullptr) x += bias[col];
    if (accumulate) x += to_float(to[i]);
    return x;
  }
  __device__ void store(std::int64_t row, int col, float x) const {
    const std::int64_t i = row + col;
    if (partial != nullptr) {
      partial[blockIdx.y * size + i] = x;
    } else {
      to[i] = from_float<T>(finish(i, col, x));
    }
  }
  // Columns [col, col + 8) of the row that begins at `row`; those beyond the last are dropped.
  __device__ void store(std::int64_t row, int col, Eight e) const {
    if (!eights) {
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        if (col + j < cols) store(row, col + j, e.x[j]);
      }
    } else if (col < cols) {
      const std::int64_t i = row + col;
      if (partial != nullptr) return store8(partial + blockIdx.y * size + i, e);
      if (bias.data != nullptr) {
#pragma unroll
        for (int j = 0; j < 8; ++j) e.x[j] += bias[col + j];
      }
      if (accumulate) {
        const Eight old = load8(to + i);
#pragma unroll
        for (int j = 0; j < 8; ++j) e.x[j] += old.x[j];
      }
      store8(to + i, e);
    }
  }
};

// One thread per element, or per eight.
template <class T>
struct AddSplits {
  ConvOutput<T> out;
  int splits;
  __device__ void operator()(std::int64_t i) const {
    ConvOutput<T> whole = out;
    whole.partial = nullptr;
    if (!out.eights) {
      float sum = 0;
      for (int s = 0; s < splits; ++s) sum += out.partial[s * out.size + i];
      const int col = static_cast<int>(i % out.cols);
      return whole.store(i - col, col, sum);
    }
    Eight sum{};
    for (int s = 0; s < splits; ++s) {
      const Eight e = load8(out.partial + s * out.size + i * 8);
#pragma unroll
      for (int j = 0; j < 8; ++j) sum.x[j] += e.x[j];
    }
    const int col = static_cast<int>(i * 8 % out.cols);
    whole.store(i * 8 - col, col, sum);
  }
};
template <class T>
void add_splits(std::string_view op, CudaStream stream, const ConvOutput<T>& out, int splits) {
  if (out.partial == nullptr) return;
  for_each(op, stream, out.eights ? out.size / 8 : out.size, AddSplits<T>{out, splits});
}

// The first and the last but one of the split's `steps` steps.
struct StepRange {
  int begin, end;
};
__device__ inline StepRange split_range(int steps) {
  const auto part = [&](unsigned i) {
    return static_cast<int>(std::int64_t{steps} * i / static_cast<int>(gridDim.y));
  };
  return {part(blockIdx.y), part(blockIdx.y + 1)};
}

// Blocks that run at the same time share rows of one operand and columns of the other: eight tiles of rows
// form a band, which is walked column by column.
struct TilePlace {
  int row, col;
};
__device__ inline TilePlace tile_place(int row_tiles, int col_tiles) {
  constexpr int kBand = 8;
  const int id = static_cast<int>(blockIdx.x), band = id / (kBand * col_tiles);
  const int height = min(kBand, row_tiles - band * kBand), within = id - band * kBand * col_tiles;
  return {band * kBand + within % height, within / height};
}

}  // namespace rankine::cuda
