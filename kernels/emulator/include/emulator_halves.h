// What __half and __nv_bfloat16 have in common: the types and the operations that both spell alike.
#pragma once

#include <cstdint>

#include "kernels/emulator/include/emulator_math.h"
#include "kernels/emulator/include/emulator_types.h"

namespace rankine::emulator {

// Rounds a double to 16 bits once: to odd in fp32 first, which leaves the second rounding as if it were the
// only.
template <class H>
H round_once(double x) {
  const float f = static_cast<float>(x);
  if (static_cast<double>(f) == x || x != x || f - f != 0) return H(f);
  std::uint32_t bits = std::bit_cast<std::uint32_t>(f);
  if (fabs(static_cast<double>(f)) > fabs(x)) --bits;  // truncated
  return H(std::bit_cast<float>(bits | 1U));
}

template <class H>
H fused(H a, H b, H c) {
  return round_once<H>(static_cast<double>(static_cast<float>(a)) * static_cast<float>(b) +
                       static_cast<float>(c));
}
// The number where one is a NaN; +0 above -0.
template <class H>
H maximum(H a, H b) {
  const float x = a, y = b;
  if (x == y) return (a.bits & 0x8000U) ? b : a;
  return y != y || x > y ? a : b;
}
template <class H>
H minimum(H a, H b) {
  const float x = a, y = b;
  if (x == y) return (a.bits & 0x8000U) ? a : b;
  return y != y || x < y ? a : b;
}

}  // namespace rankine::emulator

#define RANKINE_EMULATOR_HALF_OPERATOR(H, H2, op)                                              \
  inline H operator op(H a, H b) { return H(static_cast<float>(a) op static_cast<float>(b)); } \
  inline H& operator op##=(H& a, H b) { return a = a op b; }                                   \
  inline H2 operator op(H2 a, H2 b) { return {a.x op b.x, a.y op b.y}; }                       \
  inline H2& operator op##=(H2& a, H2 b) { return a = a op b; }
#define RANKINE_EMULATOR_HALF_COMPARE(H, op) \
  inline bool operator op(H a, H b) { return static_cast<float>(a) op static_cast<float>(b); }

#define RANKINE_EMULATOR_HALF_TYPE(H, H2, Storage, round)                   \
  struct alignas(2) H {                                                     \
    std::uint16_t bits;                                                     \
    H() = default;                                                          \
    H(float x) : bits(round(x).bits) {}                                     \
    H(double x);                                                            \
    H(int x) : H(static_cast<double>(x)) {}                                 \
    H(unsigned x) : H(static_cast<double>(x)) {}                            \
    static H of_bits(std::uint16_t bits) {                                  \
      H h;                                                                  \
      h.bits = bits;                                                        \
      return h;                                                             \
    }                                                                       \
    operator float() const { return rankine::to_float(Storage{bits}); }     \
  };                                                                        \
  inline H::H(double x) : bits(rankine::emulator::round_once<H>(x).bits) {} \
  struct alignas(4) H2 {                                                    \
    H x, y;                                                                 \
    H2() = default;                                                         \
    H2(H x_, H y_) : x(x_), y(y_) {}                                        \
    RANKINE_EMULATOR_COPY(H2, 2)                                            \
  };                                                                        \
  RANKINE_EMULATOR_HALF_OPERATOR(H, H2, +)                                  \
  RANKINE_EMULATOR_HALF_OPERATOR(H, H2, -)                                  \
  RANKINE_EMULATOR_HALF_OPERATOR(H, H2, *)                                  \
  RANKINE_EMULATOR_HALF_OPERATOR(H, H2, /)                                  \
  RANKINE_EMULATOR_HALF_COMPARE(H, ==)                                      \
  RANKINE_EMULATOR_HALF_COMPARE(H, !=)                                      \
  RANKINE_EMULATOR_HALF_COMPARE(H, <)                                       \
  RANKINE_EMULATOR_HALF_COMPARE(H, >)                                       \
  RANKINE_EMULATOR_HALF_COMPARE(H, <=)                                      \
  RANKINE_EMULATOR_HALF_COMPARE(H, >=)                                      \
  inline H operator+(H a) { return a; }                                     \
  inline H operator-(H a) { return H::of_bits(a.bits ^ 0x8000U); }          \
  inline H2 operator-(H2 a) { return {-a.x, -a.y}; }

#define RANKINE_EMULATOR_HALF_BINARY(H, H2, name, value) \
  inline H name(H a, H b) { return value; }              \
  inline H2 name##2(H2 a, H2 b) { return {name(a.x, b.x), name(a.y, b.y)}; }
// h<name> and h2<name>, through the fp32 function and rounded.
#define RANKINE_EMULATOR_HALF_UNARY(H, H2, name, function)             \
  inline H h##name(H a) { return H(function(static_cast<float>(a))); } \
  inline H2 h2##name(H2 a) { return {h##name(a.x), h##name(a.y)}; }

#define RANKINE_EMULATOR_HALF_FUNCTIONS(H, H2)                                                   \
  RANKINE_EMULATOR_HALF_BINARY(H, H2, __hadd, a + b)                                             \
  RANKINE_EMULATOR_HALF_BINARY(H, H2, __hsub, a - b)                                             \
  RANKINE_EMULATOR_HALF_BINARY(H, H2, __hmul, a* b)                                              \
  RANKINE_EMULATOR_HALF_BINARY(H, H2, __hmax, rankine::emulator::maximum(a, b))                  \
  RANKINE_EMULATOR_HALF_BINARY(H, H2, __hmin, rankine::emulator::minimum(a, b))                  \
  inline H __hdiv(H a, H b) { return a / b; }                                                    \
  inline H2 __h2div(H2 a, H2 b) { return a / b; }                                                \
  inline H __hfma(H a, H b, H c) { return rankine::emulator::fused(a, b, c); }                   \
  inline H2 __hfma2(H2 a, H2 b, H2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; } \
  inline H __hneg(H a) { return -a; }                                                            \
  inline H2 __hneg2(H2 a) { return -a; }                                                         \
  inline H __habs(H a) { return H::of_bits(a.bits & 0x7FFFU); }                                  \
  inline H2 __habs2(H2 a) { return {__habs(a.x), __habs(a.y)}; }                                 \
  inline bool __heq(H a, H b) { return a == b; }                                                 \
  inline bool __hlt(H a, H b) { return a < b; }                                                  \
  inline bool __hgt(H a, H b) { return a > b; }                                                  \
  inline bool __hle(H a, H b) { return a <= b; }                                                 \
  inline bool __hge(H a, H b) { return a >= b; }                                                 \
  inline bool __hisnan(H a) { return a != a; }                                                   \
  inline int __hisinf(H a) { return isinf(static_cast<float>(a)) ? (a < H(0) ? -1 : 1) : 0; }    \
  inline float __low2float(H2 v) { return v.x; }                                                 \
  inline float __high2float(H2 v) { return v.y; }                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, exp, expf)                                                  \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, exp2, exp2f)                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, log, logf)                                                  \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, log2, log2f)                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, sqrt, sqrtf)                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, rsqrt, rsqrtf)                                              \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, rcp, 1.0F /)                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, sin, sinf)                                                  \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, cos, cosf)                                                  \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, floor, floorf)                                              \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, ceil, ceilf)                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, rint, rintf)                                                \
  RANKINE_EMULATOR_HALF_UNARY(H, H2, trunc, truncf)
