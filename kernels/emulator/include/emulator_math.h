// CUDA's arithmetic and bit functions that C++ does not have, in the global namespace as CUDA has them.
// The fast variants (__expf and so on) are as exact as the plain ones here; a card's are not.
#pragma once

#include <math.h>

#include <bit>
#include <cstdint>
#include <cstring>

#include "kernels/emulator/include/emulator_types.h"

// min and max of mixed integers follow the usual arithmetic conversions, as CUDA's do.
#define RANKINE_EMULATOR_MIN_MAX(R, A, B)                                                 \
  constexpr R min(A a, B b) {                                                             \
    return static_cast<R>(a) < static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); \
  }                                                                                       \
  constexpr R max(A a, B b) {                                                             \
    return static_cast<R>(a) > static_cast<R>(b) ? static_cast<R>(a) : static_cast<R>(b); \
  }
RANKINE_EMULATOR_MIN_MAX(int, int, int)
RANKINE_EMULATOR_MIN_MAX(unsigned, unsigned, unsigned)
RANKINE_EMULATOR_MIN_MAX(unsigned, int, unsigned)
RANKINE_EMULATOR_MIN_MAX(unsigned, unsigned, int)
RANKINE_EMULATOR_MIN_MAX(long, long, long)
RANKINE_EMULATOR_MIN_MAX(unsigned long, unsigned long, unsigned long)
RANKINE_EMULATOR_MIN_MAX(unsigned long, long, unsigned long)
RANKINE_EMULATOR_MIN_MAX(unsigned long, unsigned long, long)
RANKINE_EMULATOR_MIN_MAX(long long, long long, long long)
RANKINE_EMULATOR_MIN_MAX(unsigned long long, unsigned long long, unsigned long long)
RANKINE_EMULATOR_MIN_MAX(unsigned long long, long long, unsigned long long)
RANKINE_EMULATOR_MIN_MAX(unsigned long long, unsigned long long, long long)
#undef RANKINE_EMULATOR_MIN_MAX
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(float a, double b) { return fmin(a, b); }
inline double min(double a, float b) { return fmin(a, b); }
inline double max(float a, double b) { return fmax(a, b); }
inline double max(double a, float b) { return fmax(a, b); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __ffs(int x) { return x ? std::countr_zero(static_cast<unsigned>(x)) + 1 : 0; }
inline int __ffsll(long long x) { return x ? std::countr_zero(static_cast<unsigned long long>(x)) + 1 : 0; }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline unsigned __brev(unsigned x) {
  unsigned y = 0;
  for (int i = 0; i < 32; ++i) y |= ((x >> i) & 1U) << (31 - i);
  return y;
}
// Byte i of the result is byte s_i of the eight bytes y:x, s_i the i-th digit of s; its top bit spreads the
// sign.
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
  const std::uint64_t bytes = (std::uint64_t{y} << 32) | x;
  unsigned out = 0;
  for (int i = 0; i < 4; ++i) {
    const unsigned digit = (s >> (4 * i)) & 15U;
    unsigned byte = static_cast<unsigned>(bytes >> (8 * (digit & 7U))) & 0xFFU;
    if (digit & 8U) byte = byte & 0x80U ? 0xFFU : 0U;
    out |= byte << (8 * i);
  }
  return out;
}
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned shift) {
  return static_cast<unsigned>((((std::uint64_t{hi} << 32) | lo) << (shift & 31U)) >> 32);
}
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned shift) {
  return static_cast<unsigned>(((std::uint64_t{hi} << 32) | lo) >> (shift & 31U));
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((std::uint64_t{a} * b) >> 32);
}
inline int __mulhi(int a, int b) { return static_cast<int>((std::int64_t{a} * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>((Wide{a} * b) >> 64);
}
// Four products of bytes, added to c.
inline int __dp4a(int a, int b, int c) {
  for (int i = 0; i < 4; ++i)
    c += static_cast<std::int8_t>(a >> (8 * i)) * static_cast<std::int8_t>(b >> (8 * i));
  return c;
}

inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
inline int __float2int_ru(float x) { return static_cast<int>(ceilf(x)); }
inline unsigned __float2uint_rn(float x) { return static_cast<unsigned>(nearbyintf(x)); }
inline float __int2float_rn(int x) { return static_cast<float>(x); }
inline float __uint2float_rn(unsigned x) { return static_cast<float>(x); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0F) : 0.0F; }  // NaN gives 0
inline float __fdividef(float a, float b) { return a / b; }
inline float rsqrtf(float x) { return 1.0F / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float normcdff(float x) { return static_cast<float>(0.5 * erfc(-0.70710678118654752440 * x)); }
// The C library declares these names for itself; it does not export them.
inline float __expf(float x) noexcept { return expf(x); }
inline float __exp10f(float x) noexcept { return exp10f(x); }
inline float __logf(float x) noexcept { return logf(x); }
inline float __log2f(float x) noexcept { return log2f(x); }
inline float __log10f(float x) noexcept { return log10f(x); }
inline float __sinf(float x) noexcept { return sinf(x); }
inline float __cosf(float x) noexcept { return cosf(x); }
inline float __tanf(float x) noexcept { return tanf(x); }
inline float __powf(float x, float y) noexcept { return powf(x, y); }
inline void __sincosf(float x, float* s, float* c) noexcept { sincosf(x, s, c); }

// Loads and stores with a cache hint are loads and stores.
template <class T>
RANKINE_EMULATOR_INLINE T __ldg(const T* p) {
  return *p;
}
template <class T>
RANKINE_EMULATOR_INLINE T __ldca(const T* p) {
  return *p;
}
template <class T>
RANKINE_EMULATOR_INLINE T __ldcg(const T* p) {
  return *p;
}
template <class T>
RANKINE_EMULATOR_INLINE T __ldcs(const T* p) {
  return *p;
}
template <class T>
RANKINE_EMULATOR_INLINE void __stcg(T* p, T value) {
  *p = value;
}
template <class T>
RANKINE_EMULATOR_INLINE void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
RANKINE_EMULATOR_INLINE void __stwb(T* p, T value) {
  *p = value;
}
