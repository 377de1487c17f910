// __half and __nv_bfloat16 against engine/core/half.h and arithmetic in double.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cmath>
#include <random>

#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {

template <class H>
struct Format;
template <>
struct Format<__half> {
  using Storage = Half;
  static Half round(float x) { return to_half(x); }
  static constexpr int kDigits = 11, kLeast = -24;  // binary digits, exponent of the least subnormal
};
template <>
struct Format<__nv_bfloat16> {
  using Storage = BFloat16;
  static BFloat16 round(float x) { return to_bfloat16(x); }
  static constexpr int kDigits = 8, kLeast = -133;
};

// x rounded to the format, ties to even, straight from double.
template <class H>
double rounded(double x) {
  if (!std::isfinite(x) || x == 0) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  const int unit = std::max(exponent - Format<H>::kDigits, Format<H>::kLeast);
  const double y = std::ldexp(std::nearbyint(std::ldexp(x, -unit)), unit);
  const double limit = static_cast<float>(H::of_bits(std::is_same_v<H, __half> ? 0x7BFF : 0x7F7F));
  return std::fabs(y) > limit ? std::copysign(INFINITY, x) : y;
}
bool same(float a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

template <class H>
class EmulatorHalves : public ::testing::Test {};
using Types = ::testing::Types<__half, __nv_bfloat16>;
TYPED_TEST_SUITE(EmulatorHalves, Types);

TYPED_TEST(EmulatorHalves, AllPatternsAreKept) {
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const TypeParam h = TypeParam::of_bits(static_cast<std::uint16_t>(bits));
    const float x = h;
    EXPECT_TRUE(same(x, to_float(typename Format<TypeParam>::Storage{static_cast<std::uint16_t>(bits)})))
        << bits;
    if (!std::isnan(x)) {
      EXPECT_EQ(TypeParam(x).bits, bits);
    }
    EXPECT_EQ((-h).bits, bits ^ 0x8000U);
  }
}

// Between any two neighbours: a quarter, the tie, three quarters, and a hair off the tie.
TYPED_TEST(EmulatorHalves, RoundsToNearestEven) {
  for (unsigned bits = 0; bits < 0x7C00; bits += bits < 64 ? 1 : 37) {
    const double low = static_cast<float>(TypeParam::of_bits(static_cast<std::uint16_t>(bits)));
    const double high = static_cast<float>(TypeParam::of_bits(static_cast<std::uint16_t>(bits + 1)));
    if (!std::isfinite(high)) continue;
    for (const double part : {0.25, 0.5, 0.75, 0.5 - 1e-6, 0.5 + 1e-6}) {
      for (const double sign : {1.0, -1.0}) {
        const double x = sign * (low + part * (high - low));
        EXPECT_TRUE(same(TypeParam(x), rounded<TypeParam>(x))) << bits << " + " << part;
        const auto f = static_cast<float>(x);
        EXPECT_EQ(TypeParam(f).bits, Format<TypeParam>::round(f).bits);
        EXPECT_TRUE(same(TypeParam(f), rounded<TypeParam>(f)));
      }
    }
  }
  EXPECT_TRUE(std::isinf(static_cast<float>(TypeParam(1e39))));
  EXPECT_TRUE(std::isnan(static_cast<float>(TypeParam(NAN))));
}

TYPED_TEST(EmulatorHalves, OperationsRoundOnce) {
  std::mt19937 generator(1);
  using H2 =
      decltype(__hadd2(std::conditional_t<std::is_same_v<TypeParam, __half>, __half2, __nv_bfloat162>{}, {}));
  const auto any = [&] { return TypeParam::of_bits(static_cast<std::uint16_t>(generator())); };
  for (int i = 0; i < 20000; ++i) {
    const TypeParam a = any(), b = any(), c = any();
    const double x = static_cast<float>(a), y = static_cast<float>(b), z = static_cast<float>(c);
    EXPECT_TRUE(same(a + b, rounded<TypeParam>(x + y))) << x << " + " << y;
    EXPECT_TRUE(same(a - b, rounded<TypeParam>(x - y)));
    EXPECT_TRUE(same(a * b, rounded<TypeParam>(x * y)));
    EXPECT_TRUE(same(a / b, rounded<TypeParam>(x / y))) << x << " / " << y;
    if (std::isfinite(x * y + z) && std::fabs(x * y) < 1e30 && std::fabs(z) > std::fabs(x * y) * 0x1p-30) {
      EXPECT_TRUE(same(__hfma(a, b, c), rounded<TypeParam>(x * y + z))) << x << " * " << y << " + " << z;
    }
    const H2 p{a, b}, q{b, c};
    EXPECT_TRUE(same((p + q).y, static_cast<float>(b + c)));
    EXPECT_TRUE(same(__hmul2(p, q).x, static_cast<float>(a * b)));
    EXPECT_TRUE(same(__hfma2(p, q, p).x, static_cast<float>(__hfma(a, b, a))));
    if (x == x && y == y) {
      EXPECT_TRUE(x == y || same(__hmax(a, b), std::max(x, y)));
      EXPECT_TRUE(x == y || same(__hmin2(p, p).y, y));
    }
    EXPECT_EQ(a < b, x < y);
    EXPECT_EQ(a == b, x == y);
  }
  EXPECT_EQ(static_cast<float>(__hmax(TypeParam(NAN), TypeParam(2.0F))), 2);
  EXPECT_FALSE(std::signbit(static_cast<float>(__hmax(TypeParam(-0.0F), TypeParam(0.0F)))));
}

TEST(Emulator, PairsOfHalves) {
  const __half2 h = __floats2half2_rn(1.5F, -2.25F);
  EXPECT_EQ(__low2float(h), 1.5F);
  EXPECT_EQ(__high2float(h), -2.25F);
  EXPECT_EQ(__half22float2(__float22half2_rn(make_float2(3, 4))).y, 4);
  EXPECT_EQ(__low2float(__lowhigh2highlow(h)), -2.25F);
  EXPECT_EQ(static_cast<float>(__low2half(__halves2half2(__float2half(7), __float2half(8)))), 7);
  EXPECT_EQ(__half_as_ushort(__ushort_as_half(0x3C01)), 0x3C01);
  EXPECT_EQ(__high2float(h2exp2(h)), __half2float(__float2half_rn(exp2f(-2.25F))));
  EXPECT_EQ(__half2int_rn(__float2half(2.5F)), 2);
  std::uint32_t bits = 0;
  std::memcpy(&bits, &h, 4);
  EXPECT_EQ(bits, 0xC0803E00U);  // the first in the low half

  const __nv_bfloat162 b = __floats2bfloat162_rn(1.5F, -2.25F);
  EXPECT_EQ(__bfloat1622float2(b).y, -2.25F);
  EXPECT_EQ(__bfloat162float(__high2bfloat16(b)), -2.25F);
  EXPECT_EQ(__low2float(__halves2bfloat162(__float2bfloat16(7), __float2bfloat16(8))), 7);
  EXPECT_EQ(__bfloat16_as_ushort(__ushort_as_bfloat16(0x3F81)), 0x3F81);
  std::memcpy(&bits, &b, 4);
  EXPECT_EQ(bits, 0xC0103FC0U);
}

}  // namespace
}  // namespace rankine
