#include "kernels/matmul/gemm.h"

#include "kernels/matmul/few_rows.h"
#include "kernels/matmul/gemm_block.h"

namespace rankine::cpu {

namespace {

// Below this many FLOPs per thread a second thread costs more than it saves.
constexpr double kThreadWork = 4e5;
constexpr std::int64_t kColumnUnit = kBlockUnit;

struct Grid {
  std::int64_t rows = 1, cols = 1;
};

double largest_part(std::int64_t n, std::int64_t parts, std::int64_t unit) {
  const std::int64_t units = (n + unit - 1) / unit, largest = (units + parts - 1) / parts;
  return static_cast<double>(largest * unit);
}

// A row part copies all of its columns of B, a column part all of its rows of A. Per FLOP of the inner loop,
// copying an element of A costs about 10, one of B, which may have to be decoded and transposed, about 30.
double time_of(const Gemm& g, const Grid& grid) {
  const double rows = largest_part(g.m, grid.rows, 1), cols = largest_part(g.n, grid.cols, kColumnUnit);
  return 2 * rows * cols + 30 * cols + 10 * rows;
}

Grid best_grid(const Gemm& g, std::int64_t threads) {
  Grid best;
  for (std::int64_t rows = 1; rows <= threads; ++rows) {
    const Grid grid{std::min(rows, g.m), std::min(threads / rows, (g.n + kColumnUnit - 1) / kColumnUnit)};
    if (time_of(g, grid) < time_of(g, best)) best = grid;
  }
  return best;
}

}  // namespace

void gemm_inline(const Gemm& g, float* scratch) { gemm_block(g, {0, g.m}, {0, g.n}, scratch); }

std::int64_t useful_threads(double flops, std::int64_t threads) {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(flops / kThreadWork), 1, threads);
}

void gemm(ThreadPool& pool, const Gemm& g, float* scratch) {
  const double flops = 2.0 * static_cast<double>(g.m) * static_cast<double>(g.n) * static_cast<double>(g.k());
  const std::int64_t threads = useful_threads(flops, pool.size());
  if (threads == 1) return gemm_inline(g, scratch);
  const Grid grid = best_grid(g, threads);
  pool.parallel_for(grid.rows * grid.cols, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      gemm_block(g, part_of(g.m, i / grid.cols, grid.rows),
                 part_of(g.n, i % grid.cols, grid.cols, kColumnUnit), scratch + i * gemm_scratch(g.m));
    }
  });
}

void gemm_with_weight(ThreadPool& pool, const Gemm& g, float* scratch) {
  if (!takes_few_rows(g)) return gemm(pool, g, scratch);
  // Reading and decoding an element of the weight costs about 20 FLOPs of the inner loop.
  const double work =
      static_cast<double>(2 * g.m + 20) * static_cast<double>(g.n) * static_cast<double>(g.k());
  const std::int64_t parts = useful_threads(work, pool.size());
  pool.parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      few_rows_block(g, part_of(g.n, i, parts, kFewRowsUnit), scratch + i * gemm_scratch(g.m));
  });
}

}  // namespace rankine::cpu
