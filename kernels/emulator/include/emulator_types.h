// CUDA's declaration keywords and vector types for kernels compiled as plain C++.
#pragma once

#include <cstddef>
#include <cstdint>

#define RANKINE_EMULATOR_STRING_OF(x) #x
#define RANKINE_EMULATOR_STRING(x) RANKINE_EMULATOR_STRING_OF(x)

#define RANKINE_EMULATOR_INLINE inline __attribute__((always_inline))
// For functions that note their return address: it must be the line of the call.
#if defined(__clang__)
#define RANKINE_EMULATOR_NOT_TAIL __attribute__((not_tail_called))
#else
#define RANKINE_EMULATOR_NOT_TAIL
#endif

// The words of CUDA.
// NOLINTBEGIN(bugprone-reserved-identifier)
#define __global__
#define __device__
#define __host__
// Forced, it makes clang take minutes for a kernel under sanitizers, and nothing here needs it.
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __constant__ static
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
// Every declaration gets a section of its own, so that the emulator finds the variables of all kernels in the
// program's section table and fills them anew for each block. Blocks run one at a time: one copy is enough.
#define __shared__ \
  __attribute__((section("rankine.shared." RANKINE_EMULATOR_STRING(__COUNTER__)), used)) static
// NOLINTEND(bugprone-reserved-identifier)

#if !defined(__clang__) || !defined(__has_feature)
#define RANKINE_EMULATOR_TRACED 0
#elif __has_feature(coverage_sanitizer)
#define RANKINE_EMULATOR_TRACED 1
#else
#define RANKINE_EMULATOR_TRACED 0
#endif

// A copy of a trivial struct becomes memcpy, which the instrumentation does not see; member by member it
// does.
#if RANKINE_EMULATOR_TRACED
#define RANKINE_EMULATOR_COPY(type, n)                                                        \
  __attribute__((always_inline)) constexpr type(const type& o) : RANKINE_EMULATOR_INIT_##n {} \
  __attribute__((always_inline)) constexpr type& operator=(const type& o) {                   \
    RANKINE_EMULATOR_ASSIGN_##n;                                                              \
    return *this;                                                                             \
  }
#else
#define RANKINE_EMULATOR_COPY(type, n)     \
  constexpr type(const type& o) = default; \
  constexpr type& operator=(const type& o) = default;
#endif
#define RANKINE_EMULATOR_INIT_2 x(o.x), y(o.y)
#define RANKINE_EMULATOR_INIT_3 x(o.x), y(o.y), z(o.z)
#define RANKINE_EMULATOR_INIT_4 x(o.x), y(o.y), z(o.z), w(o.w)
#define RANKINE_EMULATOR_ASSIGN_2 x = o.x, y = o.y
#define RANKINE_EMULATOR_ASSIGN_3 x = o.x, y = o.y, z = o.z
#define RANKINE_EMULATOR_ASSIGN_4 x = o.x, y = o.y, z = o.z, w = o.w

#define RANKINE_EMULATOR_VECTOR2(type, scalar)                  \
  struct alignas(2 * sizeof(scalar)) type {                     \
    scalar x, y;                                                \
    type() = default;                                           \
    constexpr type(scalar x_, scalar y_ = {}) : x(x_), y(y_) {} \
    RANKINE_EMULATOR_COPY(type, 2)                              \
  };                                                            \
  constexpr type make_##type(scalar x, scalar y) { return type(x, y); }
#define RANKINE_EMULATOR_VECTOR3(type, scalar)                                         \
  struct type {                                                                        \
    scalar x, y, z;                                                                    \
    type() = default;                                                                  \
    constexpr type(scalar x_, scalar y_ = {}, scalar z_ = {}) : x(x_), y(y_), z(z_) {} \
    RANKINE_EMULATOR_COPY(type, 3)                                                     \
  };                                                                                   \
  constexpr type make_##type(scalar x, scalar y, scalar z) { return type(x, y, z); }
#define RANKINE_EMULATOR_VECTOR4(type, scalar)                                \
  struct alignas(sizeof(scalar) == 8 ? 16 : 4 * sizeof(scalar)) type {        \
    scalar x, y, z, w;                                                        \
    type() = default;                                                         \
    constexpr type(scalar x_, scalar y_ = {}, scalar z_ = {}, scalar w_ = {}) \
        : x(x_), y(y_), z(z_), w(w_) {}                                       \
    RANKINE_EMULATOR_COPY(type, 4)                                            \
  };                                                                          \
  constexpr type make_##type(scalar x, scalar y, scalar z, scalar w) { return type(x, y, z, w); }

RANKINE_EMULATOR_VECTOR2(char2, signed char)
RANKINE_EMULATOR_VECTOR2(uchar2, unsigned char)
RANKINE_EMULATOR_VECTOR2(short2, short)
RANKINE_EMULATOR_VECTOR2(ushort2, unsigned short)
RANKINE_EMULATOR_VECTOR2(int2, int)
RANKINE_EMULATOR_VECTOR2(uint2, unsigned)
RANKINE_EMULATOR_VECTOR2(longlong2, long long)
RANKINE_EMULATOR_VECTOR2(ulonglong2, unsigned long long)
RANKINE_EMULATOR_VECTOR2(float2, float)
RANKINE_EMULATOR_VECTOR2(double2, double)
RANKINE_EMULATOR_VECTOR3(int3, int)
RANKINE_EMULATOR_VECTOR3(uint3, unsigned)
RANKINE_EMULATOR_VECTOR3(float3, float)
RANKINE_EMULATOR_VECTOR4(char4, signed char)
RANKINE_EMULATOR_VECTOR4(uchar4, unsigned char)
RANKINE_EMULATOR_VECTOR4(short4, short)
RANKINE_EMULATOR_VECTOR4(ushort4, unsigned short)
RANKINE_EMULATOR_VECTOR4(int4, int)
RANKINE_EMULATOR_VECTOR4(uint4, unsigned)
RANKINE_EMULATOR_VECTOR4(float4, float)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
