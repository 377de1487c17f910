// What each device implements for reduce.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "kernels/common/row_chunks.h"
#include "kernels/reduce/reduce.h"

namespace rankine {

struct Reduction {
  const float* a;
  const float* b;   // dot only
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
double dot(ThreadPool& pool, const Reduction& r);
double max_abs(ThreadPool& pool, const Reduction& r);  // NaN, above infinity, wins
void add_column_sums(ThreadPool& pool, const RowSums& r);
}  // namespace cpu

}  // namespace rankine
