// What each device implements for lowrank.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include <algorithm>

#include "kernels/lowrank/lowrank.h"
#include "kernels/matmul/matmul_impl.h"

namespace rankine {

// A matrix of `cols` columns inside rows of `pitch` floats.
struct Columns {
  const float* data;
  std::int64_t cols, pitch;
};
// scale * middle · factorᵀ (forward) or scale * middle · factor (adjoint).
struct LowRankArgs {
  Columns middle;
  const float* factor;
  float scale;
};
struct BaseMap {
  const void* w = nullptr;  // (out, in); null: no base
  DType dtype = DType::f32;
  const float* bias = nullptr;  // (out) or null
};
struct LowRankLinearArgs {
  float* to;
  const float* from;
  std::int64_t rows, in, out;
  BaseMap base;
  std::span<const LowRankArgs> terms;
  bool accumulate;
  float* scratch;
};

// How lowrank_up_backward cuts dy (rows, out): into stripes of whole chunks, each with its own partial dBᵀ
// (rank, out). It follows from the sizes alone. A single stripe means that the partials would cost more than
// a second read of dy.
struct UpGradPlan {
  static constexpr std::int64_t kChunk = 32, kMaxStripes = 16,
                                kMaxPartial = 1 << 20;        // rows, stripes, floats
  static constexpr std::int64_t kRows = 128, kColumns = 320;  // of dy that stay in cache between its two uses
  std::int64_t rows, out, rank;
  std::int64_t chunks() const { return (rows + kChunk - 1) / kChunk; }
  std::int64_t stripes() const {
    const std::int64_t affordable = kMaxPartial / std::max<std::int64_t>(1, rank * out);
    return std::max<std::int64_t>(1, std::min({chunks(), kMaxStripes, affordable}));
  }
  bool two_products() const { return stripes() == 1 && chunks() > 1; }
};
struct UpGradArgs {
  float* ds;        // (rows, pitch of s) at the term's first column: overwritten
  float* dup;       // (out, rank), added to
  const float* dy;  // (rows, out)
  const float* up;  // (out, rank)
  Columns s;        // (rows, rank)
  float scale;
  UpGradPlan plan;
  float* partial;  // stripes x rank x out
  float* scratch;  // of two products
};
struct DownGradArgs {
  float* ddown;  // (rank, in), added to
  const float *ds, *x;
  std::int64_t rows, rank, in;
  float* scratch;
};

namespace cpu {
void lowrank_linear_forward(ThreadPool& pool, const LowRankLinearArgs& a);
void lowrank_linear_adjoint(ThreadPool& pool, const LowRankLinearArgs& a);
void lowrank_up_backward(ThreadPool& pool, const UpGradArgs& a);
void lowrank_down_grad(ThreadPool& pool, const DownGradArgs& a);

// Rows [begin, end) and columns [first, last) of dy, at most kRows x kColumns.
struct UpGradPart {
  std::int64_t begin, end, first, last;
  bool adds;  // to `partial`, which otherwise is overwritten
};
// dS of these rows = or, but for the first columns, += scale dy · B; partial (rank, out) of these columns =
// or += scale Sᵀ · dy.
void up_backward_part(const UpGradArgs& a, const UpGradPart& part, float* partial);
// dup of outputs [begin, end) += the sum of the partial transposes, in the order of the stripes.
void up_backward_sums(const UpGradArgs& a, std::int64_t begin, std::int64_t end);
}  // namespace cpu

namespace cuda {
// Ranks are filled up to whole chunks of 16 bytes where they are not.
constexpr std::int64_t whole_chunks(std::int64_t rank) { return (rank + 7) / 8 * 8; }

// scale * middle · factorᵀ (forward) or scale * middle · factor (adjoint).
struct LowRankArgs {
  const void* middle;  // at the term's first column
  std::int64_t pitch;
  const void* factor;
  std::int64_t rank;
  float scale;
  bool pack;  // rank, pitch or column is not a multiple of 8: both are copied to where they are
};
// SampleDropout of a matrix whose samples are `rows_each` rows.
struct DropArgs {
  RandomStream stream;
  float p;
  std::int64_t rows_each;
};
// S (samples x rows_each, rank) in place.
struct DropMiddleArgs {
  void* s;
  DType type;
  std::int64_t rows, rank;
  DropArgs element, column;
};
struct LowRankLinearArgs {
  void* to;
  const void* from;
  std::int64_t rows;
  StoredWeight w;  // no data: no base
  GemmBias bias;
  std::span<const LowRankArgs> terms;
  bool accumulate;
  void* packed;    // what the terms to pack need: whole_chunks(rank) * (rows + features) each
  float* partial;  // for first_product
};
// The terms that the product with the base takes; others follow in products of their own.
constexpr std::size_t terms_beside(bool base) { return base ? kGemmSegments - 1 : kGemmSegments; }

// The one pass of lowrank_up_backward over dy (rows, out). Blocks own a stripe of rows and a range of
// columns: their dB is whole but for other stripes, their dS but for other ranges; both are summed in order
// afterwards.
struct UpGradPlan {
  static constexpr std::int64_t kMaxRank = 64;                             // beyond it, two products
  static constexpr std::int64_t kTile = 64, kStripe = 128, kBlocks = 256;  // rows, rows, blocks
  std::int64_t rows, out, rank;
  std::int64_t blocks = kBlocks;  // to aim at; fewer make stripes longer
  bool one_pass() const { return rank <= kMaxRank; }
  std::int64_t width() const { return rank <= 16 ? 16 : rank <= 32 ? 32 : 64; }  // of the partial sums
  std::int64_t range() const { return rank <= 32 ? 256 : 128; }
  std::int64_t ranges() const { return (out + range() - 1) / range(); }
  std::int64_t stripes() const {
    return std::clamp<std::int64_t>(blocks / std::max<std::int64_t>(1, ranges()), 1,
                                    std::max<std::int64_t>(1, (rows + kStripe - 1) / kStripe));
  }
  std::int64_t ds_floats() const { return ranges() * rows * width(); }
  std::int64_t floats() const { return ds_floats() + stripes() * out * width(); }
};
struct UpGradArgs {
  void* ds;    // at the term's first column: overwritten
  float* dup;  // (out, rank), added to
  const void *dy, *up, *s;
  DType type;
  std::int64_t pitch;  // of s and ds
  float scale;
  UpGradPlan plan;
  float* partial;
};
struct DownGradArgs {
  float* ddown;  // (rank, in), added to
  const void *ds, *x;
  DType type;
  std::int64_t rows, rank, in;
  void* packed;  // (rows, whole_chunks(rank)) where rank is not a multiple of 8
  float* partial;
  DropArgs dropout;
};
void lowrank_middle(CudaStream stream, const LinearArgs& a, const DropArgs& dropout);
void lowrank_drop_middle(CudaStream stream, const DropMiddleArgs& a);
void lowrank_linear_forward(CudaStream stream, const LowRankLinearArgs& a);
void lowrank_linear_adjoint(CudaStream stream, const LowRankLinearArgs& a);
// to += drop of the one term alone.
void lowrank_dropped_adjoint(CudaStream stream, const LowRankLinearArgs& a, const DropArgs& dropout);
void lowrank_up_backward(CudaStream stream, const UpGradArgs& a);
void up_backward_in_one_pass(CudaStream stream, const UpGradArgs& a);
void lowrank_down_grad(CudaStream stream, const DownGradArgs& a);
}  // namespace cuda

}  // namespace rankine
