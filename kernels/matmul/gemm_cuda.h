// The product of the CUDA kernels, on tensor cores:
//
//   C (M, N) = or +=  sum_i scale_i A_i (M, K_i) · B_i (K_i, N)  + bias (N)
//
// of fp16 or bf16 operands, summed in fp32. A low-rank adapter is one more segment of the sum: no second pass
// over C. Segments are summed one after another; between them the sums are multiplied by scale_i /
// scale_{i+1}, so a scale costs no rounding of an operand. Operands are read where they lie, whichever way
// round: weights are never transposed or copied.
//
// Bits: an element of C is a sum in an order that follows from the K_i and the number of splits alone
// (gemm_plan.h); C of 16 bit is rounded once.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "engine/core/cuda_device.h"
#include "engine/core/dtype.h"
#include "kernels/matmul/gemm_table.h"

namespace rankine::cuda {

// What neighbours in memory share: `k`, A stored as (M, K) or B as (N, K); `mn`, A as (K, M) or B as (K, N).
enum class Major : std::uint8_t { k, mn };

struct GemmSegment {
  const void* a;
  std::int64_t a_pitch;  // elements from row to row as stored
  const void* b;
  std::int64_t b_pitch;
  std::int64_t k;
  float scale = 1;
};
inline constexpr int kGemmSegments = 4;

struct GemmOut {
  void* data;
  DType type;  // f32 or that of the operands
  std::int64_t pitch;
  bool accumulate = false;
};
struct GemmBias {
  const void* data = nullptr;
  DType type = DType::f32;  // or that of the operands
};
struct GemmBatch {
  std::int64_t count = 1, a_stride = 0, b_stride = 0, out_stride = 0;  // elements
};
// How sums are kept: in fp32; or in fp16 for 64 products at a time, twice the rate of tensor cores on GeForce
// cards, for aligned fp16 products of two k-major operands (others keep fp32). Partial sums beyond 65504
// overflow.
enum class GemmSum : std::uint8_t { fp32, fp16 };

struct Gemm {
  DType type;  // f16 or bf16
  Major a, b;
  std::int64_t m, n;
  std::array<GemmSegment, kGemmSegments> segments;
  int count;  // of segments
  GemmOut out;
  GemmBias bias;
  GemmBatch batch;
  float* partial = nullptr;  // gemm_partial_floats(sizes()); null: K is not split
  GemmSum sum = GemmSum::fp32;
  GemmBy by = GemmBy::table;
  std::optional<GemmTile> tile = {};  // instead of the fastest; one that the layout does not have is 64 x 64

  GemmSizes sizes() const {
    std::int64_t k = 0;
    for (int i = 0; i < count; ++i) k += gemm_depth(segments[i].k);
    return {m, n, k, batch.count};
  }
};

// Launches the product; `op` names it in errors. Operands whose rows are not whole 16 bytes take a slow path.
void gemm(CudaStream stream, std::string_view op, const Gemm& g);

}  // namespace rankine::cuda
