// What each device implements for reduce.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/common/column_blocks.h"
#include "kernels/common/row_chunks.h"
#include "kernels/reduce/reduce.h"

namespace rankine {

struct Reduction {
  const float* x;
  double* partial;  // one number per chunk of kGrain elements
  std::int64_t n;
  constexpr std::int64_t chunks() const { return (n + kGrain - 1) / kGrain; }
};
struct RowSums {
  float* out;  // (cols), added to
  const float* x;
  float* partial;  // (chunks of rows, cols)
  std::int64_t rows, cols;
};

namespace cpu {
double sum(ThreadPool& pool, const Reduction& r);
double sum_of_squares(ThreadPool& pool, const Reduction& r);
void add_sum(float* total, const float* x, std::int64_t n);
void add_column_sums(ThreadPool& pool, const RowSums& r);
}  // namespace cpu

namespace cuda {
enum class Reduced : std::uint8_t { sum, squares };
struct TypedReduction {
  const void* x;
  DType type;
  double* partial;  // one number per block: chunks()
  std::int64_t n;
  // Elements of a block: enough blocks to fill a card, few enough for the host to add.
  constexpr std::int64_t chunk() const {
    constexpr std::int64_t kLeast = 8192;
    return std::max(kLeast, ((n + 1023) / 1024 + kLeast - 1) / kLeast * kLeast);
  }
  constexpr std::int64_t chunks() const { return (n + chunk() - 1) / chunk(); }
};
// Leaves the partial results, none of which exist where n = 0.
void reduce(std::string_view op, CudaStream stream, const TypedReduction& r, Reduced what);
void add_sum(CudaStream stream, float* total, const float* x, std::int64_t n);

struct TypedRowSums {
  float* out;  // (cols), added to
  const void* x;
  DType type;
  float* partial;  // ColumnBlocks{1, rows, cols}.partial()
  std::int64_t rows, cols;
};
void add_column_sums(CudaStream stream, const TypedRowSums& r);
}  // namespace cuda

}  // namespace rankine
