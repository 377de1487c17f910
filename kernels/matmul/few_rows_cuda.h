// Products of few rows with a stored weight on CUDA: what generating text does for every token. The weight is
// read once, in its stored form, and decoded in registers; no copy of it is made.
#pragma once

#include <cstdint>

#include "engine/core/cuda_device.h"
#include "engine/core/dtype.h"

namespace rankine::cuda {

inline constexpr std::int64_t kFewRows = 8;

// scale * middle · factorᵀ of a low-rank adapter, added to y: both of y's type.
struct FewRowsTerm {
  const void* middle;  // (rows, rank), rows of `pitch`
  std::int64_t pitch;
  const void* factor;  // (out, rank)
  std::int64_t rank;
  float scale;
};
inline constexpr std::size_t kFewTerms = 4;

struct FewRowsArgs {
  void* y;           // (rows, out)
  const void* x;     // (rows, in)
  DType type;        // of x and y: f16, bf16 or f32
  const void* w;     // (out, in)
  DType w_type;      // any type of weight; `in` is whole blocks of it
  const void* bias;  // (out) or null
  DType bias_type;   // f16, bf16 or f32
  std::int64_t rows, in, out;
  FewRowsTerm terms[kFewTerms] = {};
  int term_count = 0;
};

// y = x · wᵀ + bias + terms for 1 <= rows <= kFewRows. fp32 arithmetic with w as decode_blocks gives it, sums
// over `in` and ranks in an order that depends on those alone: a row of y has the same bits beside any other
// rows, and those of the product with the decoded fp32 weight. y is rounded once. Throws ShapeError for
// another type or more rows. No scratch.
void few_rows_forward(CudaStream stream, const FewRowsArgs& a);

}  // namespace rankine::cuda
