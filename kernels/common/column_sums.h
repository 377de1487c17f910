// Sums over the rows of a matrix, on the CPU: the one shared part of bias gradients, per-sample sums and the
// parameter gradients of the norms. The order of additions follows from the sizes alone (row_chunks.h).
#pragma once

#include "kernels/common/checks.h"
#include "kernels/common/row_chunks.h"

namespace rankine::cpu {

struct ColumnSums {
  float* out;      // (samples, cols)
  const float* x;  // (samples, rows, cols)
  float* partial;  // (samples * RowChunks{rows, cols}.count(), cols): scratch
  std::int64_t samples, rows, cols;
  Write write;
};
// out = or += sum over rows of x.
void column_sums(ThreadPool& pool, const ColumnSums& a);

struct ChunkSums {
  float* out;            // (samples, cols)
  const float* partial;  // (samples, chunks, cols)
  std::int64_t samples, chunks, cols;
  Write write;
};
// out = or += sum over chunks of partial, in order, in double.
void combine_chunks(ThreadPool& pool, const ChunkSums& a);

}  // namespace rankine::cpu
