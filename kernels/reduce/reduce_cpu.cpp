#include <bit>

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

// sum of f(a, b) over the range in double: four running vectors, then the tail one by one.
template <class F>
HWY_INLINE double sum_range(const float* a, const float* b, std::int64_t n, const F& f) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto step = static_cast<std::int64_t>(hn::Lanes(d));
  const auto term = [&](std::int64_t i) HWY_ATTR {
    return f(hn::PromoteTo(d, hn::LoadU(half, a + i)), hn::PromoteTo(d, hn::LoadU(half, b + i)));
  };
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::int64_t i = 0;
  for (; i + 4 * step <= n; i += 4 * step) {
    s0 = hn::Add(s0, term(i));
    s1 = hn::Add(s1, term(i + step));
    s2 = hn::Add(s2, term(i + 2 * step));
    s3 = hn::Add(s3, term(i + 3 * step));
  }
  double sum = hn::GetLane(hn::SumOfLanes(d, hn::Add(hn::Add(s0, s1), hn::Add(s2, s3))));
  for (; i < n; ++i) sum += hn::GetLane(f(hn::Set(d, a[i]), hn::Set(d, b[i])));
  return sum;
}

double sum_values(const float* a, const float*, std::int64_t n) {
  return sum_range(a, a, n, [](auto p, auto) HWY_ATTR { return p; });
}
double sum_products(const float* a, const float* b, std::int64_t n) {
  return sum_range(a, b, n, [](auto p, auto q) HWY_ATTR { return hn::Mul(p, q); });
}

// The largest |x| as bits: as integers, magnitudes order like the numbers, and NaN comes above infinity.
std::int32_t max_magnitude(const float* x, std::int64_t n) {
  const hn::RebindToSigned<F32> d;
  auto most = hn::Zero(d);
  const auto mask = hn::Set(d, 0x7FFFFFFF);
  for_vectors(n, [&](auto io, std::int64_t i)
                     HWY_ATTR { most = hn::Max(most, hn::And(hn::BitCast(d, io.get(x + i)), mask)); });
  return hn::GetLane(hn::MaxOfLanes(d, most));
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(sum_values);
HWY_EXPORT(sum_products);
HWY_EXPORT(max_magnitude);

namespace {

// partial[k] = body(first, n) for every chunk k of kGrain elements.
template <class Body>
void for_chunks(ThreadPool& pool, const Reduction& r, const Body& body) {
  pool.parallel_for(r.chunks(), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t k = begin; k < end; ++k) {
      r.partial[k] = body(k * kGrain, std::min(kGrain, r.n - k * kGrain));
    }
  });
}

double sum_partials(const Reduction& r) {
  double sum = 0;
  for (std::int64_t k = 0; k < r.chunks(); ++k) sum += r.partial[k];
  return sum;
}

}  // namespace

double sum(ThreadPool& pool, const Reduction& r) {
  for_chunks(pool, r, [&](std::int64_t first, std::int64_t n) {
    return HWY_DYNAMIC_DISPATCH(sum_values)(r.a + first, nullptr, n);
  });
  return sum_partials(r);
}

double sum_of_squares(ThreadPool& pool, const Reduction& r) {
  for_chunks(pool, r, [&](std::int64_t first, std::int64_t n) {
    return HWY_DYNAMIC_DISPATCH(sum_products)(r.a + first, r.a + first, n);
  });
  return sum_partials(r);
}

double dot(ThreadPool& pool, const Reduction& r) {
  for_chunks(pool, r, [&](std::int64_t first, std::int64_t n) {
    return HWY_DYNAMIC_DISPATCH(sum_products)(r.a + first, r.b + first, n);
  });
  return sum_partials(r);
}

double max_abs(ThreadPool& pool, const Reduction& r) {
  for_chunks(pool, r, [&](std::int64_t first, std::int64_t n) {
    return double(HWY_DYNAMIC_DISPATCH(max_magnitude)(r.a + first, n));
  });
  double most = 0;
  for (std::int64_t k = 0; k < r.chunks(); ++k) most = std::max(most, r.partial[k]);
  return std::bit_cast<float>(static_cast<std::int32_t>(most));
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
