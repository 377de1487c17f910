#include <cmath>
#include <limits>

#include "kernels/loss/loss_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/loss/cross_entropy_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

// Terms summed in fp32 before they join the sum in double: keeps a vocabulary's rounding that of a short row.
constexpr std::int64_t kBlock = 1024;

// A NaN's bits do not survive exp_nonpositive's scaling; a diverged run must not look healthy.
HWY_INLINE VecF exp_keeping_nan(VecF x) { return hn::IfThenElse(hn::IsNaN(x), x, exp_nonpositive(x)); }

HWY_INLINE float row_max(const float* x, std::int64_t n) {
  const F32 d;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  VecF most = set(kLowest), other = most;  // two chains: one alone waits for its own latency
  std::int64_t i = 0;
  for (; i + 2 * lanes() <= n; i += 2 * lanes()) {
    most = hn::Max(load(x + i), most);
    other = hn::Max(load(x + i + lanes()), other);
  }
  float top = kLowest;
  for (; i < n; ++i) top = std::max(top, x[i]);
  return std::max(top, hn::GetLane(hn::MaxOfLanes(d, hn::Max(most, other))));
}

// The sum of exp(x - top), which also go to y where it is not null.
HWY_INLINE double exp_sum(float* y, const float* x, std::int64_t n, float top) {
  const VecF shift = set(top);
  double total = 0;
  for (std::int64_t begin = 0; begin < n; begin += kBlock) {
    VecF sum = set(0.0F);
    for_vectors(std::min(kBlock, n - begin), [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF e = exp_keeping_nan(hn::Sub(io.get(x + begin + i), shift));
      if (y) io.put(e, y + begin + i);
      sum = hn::Add(sum, io.keep(e));
    });
    total += double(sum_lanes(sum));
  }
  return total;
}

HWY_INLINE void scale(float* x, std::int64_t n, float factor) {
  map(
      x, n, [f = set(factor)](VecF v) HWY_ATTR { return hn::Mul(f, v); }, x);
}

// Whether the target has the first largest logit. Not where a NaN hides which one is largest.
bool is_first_maximum(const float* x, std::int64_t n, std::int64_t target) {
  const float best = x[target];
  bool first = true;
  for (std::int64_t i = 0; i < target; ++i) first &= x[i] < best;
  for (std::int64_t i = target; i < n; ++i) first &= x[i] <= best;
  return first;
}

void cross_entropy_row(const CrossEntropyArgs& a, std::int64_t r) {
  const std::int64_t n = a.vocabulary, target = a.targets[r];
  const float* x = a.logits + r * n;
  float* y = a.dlogits ? a.dlogits + r * n : nullptr;
  if (a.correct) a.correct[r] = is_first_maximum(x, n, target) ? 1 : 0;
  const float weight = a.weights[r];
  if (weight == 0) {
    a.loss[r] = 0;
    if (y) std::fill_n(y, n, 0.0F);
    return;
  }
  const float top = row_max(x, n);
  const double below = double(top) - double(x[target]);  // before y, which may be x, is written
  const double sum = exp_sum(y, x, n, top);
  a.loss[r] = static_cast<float>(double(weight) * (below + std::log(sum)));
  if (!y) return;
  scale(y, n, static_cast<float>(double(weight) / sum));
  y[target] -= weight;
}

void cross_entropy_rows(const CrossEntropyArgs& a, std::int64_t begin, std::int64_t end) {
  for (std::int64_t r = begin; r < end; ++r) cross_entropy_row(a, r);
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(cross_entropy_rows);

void check_targets(std::string_view op, const CrossEntropyArgs& a) {
  for (std::int64_t r = 0; r < a.rows; ++r) {
    require<ShapeError>(a.targets[r] >= 0 && a.targets[r] < a.vocabulary, op, ": target ", a.targets[r],
                        " of row ", r, " is outside the vocabulary of ", a.vocabulary);
  }
}

void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& a) {
  pool.parallel_for(a.rows, grain_of(4 * a.vocabulary), [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(cross_entropy_rows)(a, begin, end);
  });
}

}  // namespace rankine::cpu
#endif
