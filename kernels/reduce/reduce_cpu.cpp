#include "kernels/common/column_sums.h"
#include "kernels/reduce/reduce_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/reduce/reduce_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

// sum of f(x) over the range in double: four running vectors, then the tail one by one.
template <class F>
HWY_INLINE double sum_range(const float* x, std::int64_t n, const F& f) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const auto term = [&](std::int64_t i) HWY_ATTR { return f(hn::PromoteTo(d, hn::LoadU(half, x + i))); };
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, term(i));
    s1 = hn::Add(s1, term(i + step));
    s2 = hn::Add(s2, term(i + 2 * step));
    s3 = hn::Add(s3, term(i + 3 * step));
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += hn::GetLane(f(hn::Set(d, x[i])));
  return sum;
}

double sum_values(const float* x, std::int64_t n) {
  return sum_range(x, n, [](auto v) HWY_ATTR { return v; });
}
double sum_squares(const float* x, std::int64_t n) {
  return sum_range(x, n, [](auto v) HWY_ATTR { return hn::Mul(v, v); });
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(sum_values);
HWY_EXPORT(sum_squares);

namespace {

// The sum of body(first, n) of every chunk of kGrain elements, in order.
template <class Body>
double sum_chunks(ThreadPool& pool, const Reduction& r, const Body& body) {
  pool.parallel_for(r.chunks(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      r.partial[k] = body(r.x + k * kGrain, std::min(kGrain, r.n - k * kGrain));
    }
  });
  double sum = 0;
  for (std::int64_t k = 0; k < r.chunks(); ++k) sum += r.partial[k];
  return sum;
}

}  // namespace

double sum(ThreadPool& pool, const Reduction& r) {
  return sum_chunks(pool, r,
                    [](const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(sum_values)(x, n); });
}

double sum_of_squares(ThreadPool& pool, const Reduction& r) {
  return sum_chunks(pool, r,
                    [](const float* x, std::int64_t n) { return HWY_DYNAMIC_DISPATCH(sum_squares)(x, n); });
}

void add_sum(float* total, const float* x, std::int64_t n) {
  double sum = *total;
  for (std::int64_t i = 0; i < n; ++i) sum += double(x[i]);
  *total = float(sum);
}

void add_column_sums(ThreadPool& pool, const RowSums& r) {
  column_sums(pool, {r.out, r.x, r.partial, 1, r.rows, r.cols, Write::accumulate});
}

}  // namespace rankine::cpu
#endif
