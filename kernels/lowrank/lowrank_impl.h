// What each device implements for lowrank.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include <algorithm>

#include "kernels/lowrank/lowrank.h"

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
  static constexpr std::int64_t kChunk = 128, kMaxStripes = 16,
                                kMaxPartial = 1 << 20;  // rows, stripes, floats
  std::int64_t rows, out, rank;
  std::int64_t chunks() const { return (rows + kChunk - 1) / kChunk; }
  std::int64_t stripes() const {
    const std::int64_t affordable = kMaxPartial / std::max<std::int64_t>(1, rank * out);
    return std::max<std::int64_t>(1, std::min({chunks(), kMaxStripes, affordable}));
  }
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
  float* scratch;
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
}  // namespace cpu

}  // namespace rankine
