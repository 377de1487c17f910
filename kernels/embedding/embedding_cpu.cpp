#include <cmath>

#include "kernels/common/row_chunks.h"
#include "kernels/embedding/embedding_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/embedding/embedding_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

template <class T>
HWY_INLINE void gather(float* y, const void* table, const std::int32_t* ids, std::int64_t n,
                       std::int64_t cols) {
  for (std::int64_t i = 0; i < n; ++i)
    decode(y + i * cols, static_cast<const T*>(table) + ids[i] * cols, cols);
}
void gather_f32(float* y, const void* table, const std::int32_t* ids, std::int64_t n, std::int64_t cols) {
  gather<float>(y, table, ids, n, cols);
}
void gather_f16(float* y, const void* table, const std::int32_t* ids, std::int64_t n, std::int64_t cols) {
  gather<Half>(y, table, ids, n, cols);
}
void gather_bf16(float* y, const void* table, const std::int32_t* ids, std::int64_t n, std::int64_t cols) {
  gather<BFloat16>(y, table, ids, n, cols);
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(gather_f32);
HWY_EXPORT(gather_f16);
HWY_EXPORT(gather_bf16);

void check_ids(std::string_view op, const std::int32_t* ids, std::int64_t n, std::int64_t vocabulary) {
  for (std::int64_t i = 0; i < n; ++i) {
    require<ShapeError>(ids[i] >= 0 && ids[i] < vocabulary, op, ": id ", ids[i], " at position ", i,
                        " is outside the table of ", vocabulary, " rows");
  }
}

void embedding_forward(ThreadPool& pool, float* y, const Tensor& table, const std::int32_t* ids,
                       std::int64_t n) {
  const std::int64_t cols = table.dim(1);
  const void* data = table.raw();
  const auto gather = table.dtype() == DType::f32   ? HWY_DYNAMIC_DISPATCH(gather_f32)
                      : table.dtype() == DType::f16 ? HWY_DYNAMIC_DISPATCH(gather_f16)
                                                    : HWY_DYNAMIC_DISPATCH(gather_bf16);
  pool.parallel_for(n, grain_of(cols), [&](std::int64_t begin, std::int64_t end) {
    gather(y + begin * cols, data, ids + begin, end - begin, cols);
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
#endif
