// Pieces of a softmax over one row of scores. Included once per target.
#if defined(RANKINE_KERNELS_ATTENTION_SOFTMAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_ATTENTION_SOFTMAX_INL_H_
#undef RANKINE_KERNELS_ATTENTION_SOFTMAX_INL_H_
#else
#define RANKINE_KERNELS_ATTENTION_SOFTMAX_INL_H_
#endif

#include <algorithm>

#include "kernels/attention/attention_impl.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

// Highway's Exp takes NaN to 0; a diverged run must not look healthy.
HWY_INLINE VecF exp_keeping_nan(VecF x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(F32(), x)); }

HWY_INLINE float row_max(const float* x, std::int64_t n, float top) {
  const F32 d;
  VecF most = set(top);
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) most = hn::Max(load(x + i), most);
  for (; i < n; ++i) top = std::max(top, x[i]);
  return std::max(top, hn::GetLane(hn::MaxOfLanes(d, most)));
}

// x = exp(x - top) on the first n elements; returns their sum.
HWY_INLINE float exp_row(float* x, std::int64_t n, float top) {
  const VecF shift = set(top);
  VecF sum = set(0.0F);
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) {
    const VecF e = exp_keeping_nan(hn::Sub(load(x + i), shift));
    store(e, x + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    const VecF e = first_n(exp_keeping_nan(hn::Sub(load_n(x + i, n - i), shift)), n - i);
    store_n(e, x + i, n - i);
    sum = hn::Add(sum, e);
  }
  return sum_lanes(sum);
}

HWY_INLINE void clear_unseen(float* row, KeyRange seen, std::int64_t cols) {
  std::fill(row, row + seen.begin, 0.0F);
  std::fill(row + seen.end, row + cols, 0.0F);
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
