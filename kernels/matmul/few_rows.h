// Products of few rows with a weight, C (M, N) = A (M, K) · W (N, K)ᵀ with M <= kFewRows: what generating
// text does for every token. W is streamed once, in its stored form and order: a run of a row is decoded into
// the first-level cache and multiplied by all rows of A while it is there; nothing is packed. An element of C
// is a sum over K in as many lanes as a vector has, lane by lane in the order of K, for any number of rows
// and threads.
#pragma once

#include "kernels/matmul/gemm_block.h"

namespace rankine::cpu {

// Rows of W in a panel, between whose runs the sums are kept; threads share N in units of it.
inline constexpr std::int64_t kFewRowsUnit = 32;

// M is in [1, kFewRows], left sides are plain rows, right sides by_column.
bool takes_few_rows(const Gemm& g);

// Columns [cols) of C on the calling thread. `scratch` as in gemm().
void few_rows_block(const Gemm& g, Range cols, float* scratch);

}  // namespace rankine::cpu
