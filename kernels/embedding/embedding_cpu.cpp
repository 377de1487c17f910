#include <cmath>

#include "kernels/common/row_chunks.h"
#include "kernels/common/row_decoder.h"
#include "kernels/embedding/embedding_impl.h"

namespace rankine::cpu {

void embedding_forward(ThreadPool& pool, float* y, const Tensor& table, const std::int32_t* ids,
                       std::int64_t n) {
  const std::int64_t cols = table.dim(1);
  const auto* data = static_cast<const std::byte*>(table.raw());
  const std::size_t row_bytes = bytes_of(table.dtype(), cols);
  const RowDecoder decode = row_decoder(table.dtype());
  pool.parallel_for(n, grain_of(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i)
      decode(data + static_cast<std::size_t>(ids[i]) * row_bytes, 0, cols, y + i * cols);
  });
}

// Threads share out the columns, so that every row of the table gets its terms in the order of the ids.
void embedding_weight_grad(ThreadPool& pool, float* dtable, const float* dy, const std::int32_t* ids,
                           std::int64_t n, std::int64_t cols) {
  pool.parallel_for(cols, grain_of(n), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = 0; i < n; ++i) {
      float* row = dtable + ids[i] * cols;
      for (std::int64_t k = begin; k < end; ++k) row[k] += dy[i * cols + k];
    }
  });
}

void timestep_embedding(ThreadPool& pool, float* y, const float* t, std::int64_t n, std::int64_t half,
                        float max_period) {
  constexpr std::int64_t kGrainOfSines = kGrain / 64;
  pool.parallel_for(n * half, kGrainOfSines, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t row = i / half, k = i % half;
      const double angle = t[row] * std::exp(-std::log(double(max_period)) * double(k) / double(half));
      y[row * 2 * half + k] = static_cast<float>(std::cos(angle));
      y[row * 2 * half + half + k] = static_cast<float>(std::sin(angle));
    }
  });
}

}  // namespace rankine::cpu
