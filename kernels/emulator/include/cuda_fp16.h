// __half and __half2 with CUDA's names. Every operation rounds once, to nearest even; subnormals are kept.
#pragma once

#include "engine/core/half.h"
#include "kernels/emulator/include/emulator_halves.h"

RANKINE_EMULATOR_HALF_TYPE(__half, __half2, rankine::Half, rankine::to_half)
using half = __half;
using half2 = __half2;

RANKINE_EMULATOR_HALF_FUNCTIONS(__half, __half2)

inline float __half2float(__half h) { return h; }
inline __half __float2half(float x) { return __half(x); }
inline __half __float2half_rn(float x) { return __half(x); }
inline __half __double2half(double x) { return rankine::emulator::round_once<__half>(x); }
inline __half __int2half_rn(int x) { return rankine::emulator::round_once<__half>(x); }
inline __half __uint2half_rn(unsigned x) { return rankine::emulator::round_once<__half>(x); }
inline __half __short2half_rn(short x) { return __half(static_cast<float>(x)); }
inline int __half2int_rn(__half h) { return static_cast<int>(nearbyintf(h)); }
inline int __half2int_rz(__half h) { return static_cast<int>(static_cast<float>(h)); }
inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline short __half_as_short(__half h) { return static_cast<short>(h.bits); }
inline __half __ushort_as_half(unsigned short bits) { return __half::of_bits(bits); }
inline __half __short_as_half(short bits) { return __half::of_bits(static_cast<unsigned short>(bits)); }
inline __half2 __float2half2_rn(float x) { return {__half(x), __half(x)}; }
inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
inline __half2 __float22half2_rn(float2 v) { return {__half(v.x), __half(v.y)}; }
inline float2 __half22float2(__half2 v) { return {v.x, v.y}; }
inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
inline __half2 __half2half2(__half x) { return {x, x}; }
inline __half2 make_half2(__half x, __half y) { return {x, y}; }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline __half2 __low2half2(__half2 v) { return {v.x, v.x}; }
inline __half2 __high2half2(__half2 v) { return {v.y, v.y}; }
inline __half2 __lowhigh2highlow(__half2 v) { return {v.y, v.x}; }
