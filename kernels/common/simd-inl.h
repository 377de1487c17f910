// Vector building blocks of the CPU kernels, compiled once per target: included after hwy/foreach_target.h.
// Tails are loaded with zeros beyond the end and stored by mask, so any length is right.
#if defined(RANKINE_KERNELS_COMMON_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_COMMON_SIMD_INL_H_
#undef RANKINE_KERNELS_COMMON_SIMD_INL_H_
#else
#define RANKINE_KERNELS_COMMON_SIMD_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "engine/core/half.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::ScalableTag<float>;
using VecF = hn::Vec<F32>;

HWY_INLINE std::int64_t lanes() { return static_cast<std::int64_t>(hn::Lanes(F32())); }
HWY_INLINE VecF set(float x) { return hn::Set(F32(), x); }
HWY_INLINE VecF load(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE void store(VecF v, float* p) { hn::StoreU(v, F32(), p); }

// The first n < lanes() elements; the rest is zero, or is not touched.
HWY_INLINE VecF load_n(const float* p, std::int64_t n) {
  const F32 d;
  if constexpr (HWY_MEM_OPS_MIGHT_FAULT) {
    HWY_ALIGN float buffer[hn::MaxLanes(d)] = {};
    std::memcpy(buffer, p, static_cast<std::size_t>(n) * sizeof(float));
    return hn::Load(d, buffer);
  } else {
    return hn::MaskedLoad(hn::FirstN(d, static_cast<std::size_t>(n)), d, p);
  }
}
HWY_INLINE void store_n(VecF v, float* p, std::int64_t n) {
  const F32 d;
  if constexpr (HWY_MEM_OPS_MIGHT_FAULT) {
    HWY_ALIGN float buffer[hn::MaxLanes(d)];
    hn::Store(v, d, buffer);
    std::memcpy(p, buffer, static_cast<std::size_t>(n) * sizeof(float));
  } else {
    hn::BlendedStore(v, hn::FirstN(d, static_cast<std::size_t>(n)), d, p);
  }
}
// The first n lanes, or all of them.
HWY_INLINE VecF load_up_to(const float* p, std::int64_t n) { return n >= lanes() ? load(p) : load_n(p, n); }
HWY_INLINE void store_up_to(VecF v, float* p, std::int64_t n) {
  n >= lanes() ? store(v, p) : store_n(v, p, n);
}
// v with the lanes from n on set to zero: keeps a tail out of a sum.
HWY_INLINE VecF first_n(VecF v, std::int64_t n) {
  return hn::IfThenElseZero(hn::FirstN(F32(), static_cast<std::size_t>(n)), v);
}
HWY_INLINE float sum_lanes(VecF v) { return hn::GetLane(hn::SumOfLanes(F32(), v)); }

// How a loop body reads and writes its vector: whole, or the first n elements of it.
struct Whole {
  HWY_INLINE VecF get(const float* p) const { return load(p); }
  HWY_INLINE void put(VecF v, float* p) const { store(v, p); }
  HWY_INLINE VecF keep(VecF v) const { return v; }
};
struct Part {
  std::int64_t n;
  HWY_INLINE VecF get(const float* p) const { return load_n(p, n); }
  HWY_INLINE void put(VecF v, float* p) const { store_n(v, p, n); }
  HWY_INLINE VecF keep(VecF v) const { return first_n(v, n); }  // zero beyond the end
};
// body(io, i) for the vectors that begin at i = 0, lanes(), ... below n.
template <class Body>
HWY_INLINE void for_vectors(std::int64_t n, const Body& body) {
  const std::int64_t step = lanes();
  std::int64_t i = 0;
  for (; i + step <= n; i += step) body(Whole(), i);
  if (i < n) body(Part{n - i}, i);
}
// y[i] = f(in[i]...) for i in [0, n). y may be one of the inputs.
template <class F, class... In>
HWY_INLINE void map(float* y, std::int64_t n, const F& f, const In*... in) {
  for_vectors(n, [&](auto io, std::int64_t i) HWY_ATTR { io.put(f(io.get(in + i)...), y + i); });
}

// Decoding of half-stored rows. Highway's portable targets do not round fp16 like hardware: there, scalar
// code does it.
inline constexpr bool kHardwareHalf = HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128;
HWY_INLINE void decode(float* y, const float* x, std::int64_t n) {
  std::memmove(y, x, static_cast<std::size_t>(n) * sizeof(float));
}
HWY_INLINE void decode(float* y, const BFloat16* x, std::int64_t n) {
  const hn::Rebind<std::uint16_t, F32> d16;
  const hn::RebindToUnsigned<F32> d32;
  const auto* bits = reinterpret_cast<const std::uint16_t*>(x);
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) {
    const auto wide = hn::ShiftLeft<16>(hn::PromoteTo(d32, hn::LoadU(d16, bits + i)));
    store(hn::BitCast(F32(), wide), y + i);
  }
  for (; i < n; ++i) y[i] = to_float(x[i]);
}
HWY_INLINE void decode(float* y, const Half* x, std::int64_t n) {
  std::int64_t i = 0;
  if constexpr (kHardwareHalf) {
    const hn::Rebind<hwy::float16_t, F32> d16;
    const auto* half = reinterpret_cast<const hwy::float16_t*>(x);
    for (; i + lanes() <= n; i += lanes()) store(hn::PromoteTo(F32(), hn::LoadU(d16, half + i)), y + i);
  }
  for (; i < n; ++i) y[i] = to_float(x[i]);
}

// Encoding with round to nearest even.
HWY_INLINE void encode(float* y, const float* x, std::int64_t n) { decode(y, x, n); }
HWY_INLINE void encode(Half* y, const float* x, std::int64_t n) {
  std::int64_t i = 0;
  if constexpr (kHardwareHalf) {
    const hn::Rebind<hwy::float16_t, F32> d16;
    auto* half = reinterpret_cast<hwy::float16_t*>(y);
    for (; i + lanes() <= n; i += lanes()) hn::StoreU(hn::DemoteTo(d16, load(x + i)), d16, half + i);
  }
  for (; i < n; ++i) y[i] = to_half(x[i]);
}
HWY_INLINE void encode(BFloat16* y, const float* x, std::int64_t n) {
  const hn::RebindToUnsigned<F32> d32;
  const hn::Rebind<std::uint16_t, F32> d16;
  auto* out = reinterpret_cast<std::uint16_t*>(y);
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) {
    const VecF v = load(x + i);
    const auto bits = hn::BitCast(d32, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(d32, 1U));
    const auto rounded = hn::Add(bits, hn::Add(odd, hn::Set(d32, 0x7FFFU)));
    const auto quiet = hn::Or(bits, hn::Set(d32, 0x400000U));
    const auto is_nan = hn::RebindMask(d32, hn::IsNaN(v));
    hn::StoreU(hn::TruncateTo(d16, hn::ShiftRight<16>(hn::IfThenElse(is_nan, quiet, rounded))), d16, out + i);
  }
  for (; i < n; ++i) y[i] = to_bfloat16(x[i]);
}

// exp(x) for x <= 0: 2^n e^r with |r| <= ln 2 / 2, e^r by a polynomial interpolated at Chebyshev nodes.
// Relative error 1e-7; zero below -87, where the result would leave the normal numbers; NaN stays NaN
// (hn::Exp gives zero).
HWY_INLINE VecF exp_nonpositive(VecF x) {
  const hn::RebindToSigned<F32> di;
  const VecF n = hn::Round(hn::Mul(x, set(1.44269504089F)));
  const VecF r = hn::NegMulAdd(n, set(-2.12194440e-4F), hn::NegMulAdd(n, set(0.693359375F), x));
  VecF e = set(0.00139412131F);
  for (const float c : {0.0083752102009F, 0.041666351638F, 0.16666414507F, 0.5F, 1.0F, 1.0F}) {
    e = hn::MulAdd(e, r, set(c));
  }
  const auto scaled = hn::Add(hn::BitCast(di, e), hn::ShiftLeft<23>(hn::ConvertTo(di, n)));
  return hn::IfThenZeroElse(hn::Lt(x, set(-87.0F)), hn::BitCast(F32(), scaled));
}

// The logistic function s = 1 / (1 + exp(-x)) and its slope s (1 - s), from exp(-|x|), which cannot overflow.
struct Sigmoid {
  VecF value, slope;
};
HWY_INLINE Sigmoid sigmoid(VecF x) {
  const F32 d;
  const VecF e = exp_nonpositive(hn::Neg(hn::Abs(x)));
  const VecF r = hn::Div(set(1.0F), hn::Add(set(1.0F), e));
  const VecF small = hn::Mul(e, r);
  return {hn::IfThenElse(hn::Lt(x, hn::Zero(d)), small, r), hn::Mul(small, r)};
}
HWY_INLINE VecF silu(VecF x) { return hn::Mul(x, sigmoid(x).value); }
// d silu / dx = s + x s (1 - s)
HWY_INLINE VecF silu_slope(VecF x) {
  const Sigmoid s = sigmoid(x);
  return hn::MulAdd(x, s.slope, s.value);
}

// The standard normal density phi(x) and distribution Phi(x). With a = |x| and w = 0.28 a / (1 + 0.28 a),
// Phi(-a) = exp(-a^2 / 2) (1/2 - w R(w)): R is a polynomial interpolated at Chebyshev nodes. Absolute error
// 9e-8.
struct Normal {
  VecF density, distribution;
};
HWY_INLINE Normal normal(VecF x) {
  const F32 d;
  const VecF a = hn::Abs(x);
  const VecF e = exp_nonpositive(hn::Mul(set(-0.5F), hn::Mul(a, a)));
  const VecF k = hn::Mul(a, set(0.28F));
  const VecF w = hn::Div(k, hn::Add(k, set(1.0F)));
  VecF r = set(-0.04297745276F);
  for (const float c : {0.1089831495F, 0.000842735654F, -0.1951797252F, -0.1377524435F, 1.105151626F,
                        -1.763985387F, 1.42479388F}) {
    r = hn::MulAdd(r, w, set(c));
  }
  const VecF tail = hn::Mul(e, hn::NegMulAdd(w, r, set(0.5F)));
  return {hn::Mul(e, set(0.3989422804F)),
          hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(set(1.0F), tail))};
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
