#include "kernels/common/column_sums.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/common/column_sums_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

// sum (cols) = sum of `rows` rows of x. Four rows per pass keep the running sums out of the way of the loads.
void sum_rows(float* sum, const float* x, std::int64_t rows, std::int64_t cols) {
  std::memset(sum, 0, static_cast<std::size_t>(cols) * sizeof(float));
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const float* p = x + r * cols;
    map(
        sum, cols,
        [](VecF s, VecF a, VecF b, VecF c, VecF d)
            HWY_ATTR { return hn::Add(s, hn::Add(hn::Add(a, b), hn::Add(c, d))); },
        sum, p, p + cols, p + 2 * cols, p + 3 * cols);
  }
  for (; r < rows; ++r) {
    map(
        sum, cols, [](VecF s, VecF a) HWY_ATTR { return hn::Add(s, a); }, sum, x + r * cols);
  }
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine {
HWY_EXPORT(sum_rows);
}
namespace rankine::cpu {

void column_sums(ThreadPool& pool, const ColumnSums& a) {
  const RowChunks chunks{a.rows, a.cols};
  const std::int64_t count = chunks.count();
  pool.parallel_for(a.samples * count, chunks.grain(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t sample = i / count, first = chunks.begin(i % count);
      HWY_DYNAMIC_DISPATCH(sum_rows)
      (a.partial + i * a.cols, a.x + (sample * a.rows + first) * a.cols, chunks.end(i % count) - first,
       a.cols);
    }
  });
  combine_chunks(pool, {a.out, a.partial, a.samples, count, a.cols, a.write});
}

void combine_chunks(ThreadPool& pool, const ChunkSums& a) {
  constexpr std::int64_t kBlock = 64;  // columns summed together, in registers
  const std::int64_t blocks = (a.cols + kBlock - 1) / kBlock;
  pool.parallel_for(
      a.samples * blocks, grain_of(a.chunks * kBlock), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t sample = i / blocks, first = i % blocks * kBlock;
          const std::int64_t width = std::min(kBlock, a.cols - first);
          double sum[kBlock] = {};
          for (std::int64_t k = 0; k < a.chunks; ++k) {
            const float* p = a.partial + (sample * a.chunks + k) * a.cols + first;
            for (std::int64_t j = 0; j < width; ++j) sum[j] += p[j];
          }
          float* out = a.out + sample * a.cols + first;
          for (std::int64_t j = 0; j < width; ++j) {
            out[j] = static_cast<float>(a.write == Write::accumulate ? out[j] + sum[j] : sum[j]);
          }
        }
      });
}

}  // namespace rankine::cpu
#endif
