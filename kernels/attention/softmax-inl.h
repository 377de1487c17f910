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

// e^x for x below 88; 0 from -87.7 down, NaN of NaN. With n = x / ln 2, rounded, e^x = 2^n e^r: a polynomial
// within an ulp on |r| <= ln 2 / 2, and n goes into the exponent; ln 2 as fp32 adds a relative error of n
// 2e-9. Half of the instructions of hn::Exp.
HWY_INLINE VecF exp_below_88(VecF x) {
  constexpr float kLn2 = 0.693147181F;
  // Adding this rounds to a whole number, which ends up in the lowest bits, 127 too large, as exponents are.
  const VecF shift = set(0x1.8p23F + 127);
  const VecF least = set(-127 * kLn2),
             clamped = hn::IfThenElse(hn::Lt(x, least), least, x);  // Max may drop NaN
  const VecF rounded = hn::MulAdd(clamped, set(1 / kLn2), shift);
  const VecF r = hn::NegMulAdd(hn::Sub(rounded, shift), set(kLn2), clamped);
  VecF p = set(0x1.6ab98p-10F);
  for (const float c : {0x1.126d0cp-7F, 0x1.55589ap-5F, 0x1.55540ap-3F, 0x1.fffffap-2F, 1.0F, 1.0F})
    p = hn::MulAdd(p, r, set(c));
  const auto bits = hn::BitCast(hn::RebindToUnsigned<F32>(), rounded);
  return hn::Mul(p, hn::BitCast(F32(), hn::ShiftLeft<23>(bits)));
}

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
