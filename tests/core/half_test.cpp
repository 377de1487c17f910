#include "engine/core/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "engine/core/dtype.h"

namespace rankine {
namespace {

// The numbers of a format by its definition, in double: sign, exponent, mantissa.
double decode(std::uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const std::uint32_t mantissa = bits & ((1U << mantissa_bits) - 1);
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double sign = bits >> (exponent_bits + mantissa_bits) ? -1 : 1;
  if (exponent == (1 << exponent_bits) - 1) return mantissa ? NAN : sign * INFINITY;
  const double fraction = std::ldexp(double(mantissa), -mantissa_bits);
  return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias)
                       : sign * std::ldexp(1 + fraction, exponent - bias);
}

TEST(Half, AllPatternsDecodeByTheDefinitionAndRoundTrip) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const Half h{static_cast<std::uint16_t>(bits)};
    const double want = decode(bits, 5, 10);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(to_float(h))) << bits;
      ASSERT_TRUE(std::isnan(to_float(to_half(to_float(h))))) << bits;
    } else {
      ASSERT_EQ(to_float(h), want) << bits;
      ASSERT_EQ(std::signbit(to_float(h)), std::signbit(want)) << bits;
      ASSERT_EQ(to_half(to_float(h)).bits, bits);
    }
  }
}

TEST(BFloat16, AllPatternsDecodeByTheDefinitionAndRoundTrip) {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const BFloat16 b{static_cast<std::uint16_t>(bits)};
    const double want = decode(bits, 8, 7);
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(to_float(b))) << bits;
      ASSERT_TRUE(std::isnan(to_float(to_bfloat16(to_float(b))))) << bits;
    } else {
      ASSERT_EQ(to_float(b), want) << bits;
      ASSERT_EQ(to_bfloat16(to_float(b)).bits, bits);
    }
  }
}

// Between every two neighbours: just below the middle goes down, just above goes up, the middle to the even
// one.
template <class T, class Encode>
void check_ties(std::uint32_t largest_finite, const Encode& encode) {
  for (std::uint32_t bits = 0; bits < largest_finite; ++bits) {
    const float low = to_float(T{static_cast<std::uint16_t>(bits)});
    const float high = to_float(T{static_cast<std::uint16_t>(bits + 1)});
    const float middle = low + (high - low) / 2;
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(encode(middle).bits, even) << bits;
    ASSERT_EQ(encode(-middle).bits, even | 0x8000U) << bits;
    ASSERT_EQ(encode(std::nextafter(middle, low)).bits, bits) << bits;
    ASSERT_EQ(encode(std::nextafter(middle, high)).bits, bits + 1) << bits;
  }
}

TEST(Half, TiesGoToEven) { check_ties<Half>(0x7BFF, to_half); }
TEST(BFloat16, TiesGoToEven) { check_ties<BFloat16>(0x7F7F, to_bfloat16); }

TEST(Half, EdgesOfTheRange) {
  EXPECT_EQ(to_half(65504.0F).bits, 0x7BFF);
  EXPECT_EQ(to_half(65519.99F).bits, 0x7BFF);  // rounds down to the largest
  EXPECT_EQ(to_half(65520.0F).bits, 0x7C00);   // the middle to the next goes to infinity
  EXPECT_EQ(to_half(-1e30F).bits, 0xFC00);
  EXPECT_EQ(to_half(0x1p-25F).bits, 0x0000);  // half of the smallest subnormal: even is zero
  EXPECT_EQ(to_half(0x1.8p-25F).bits, 0x0001);
  EXPECT_EQ(to_half(1e-30F).bits, 0x0000);
  EXPECT_EQ(to_half(-0.0F).bits, 0x8000);
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(to_bfloat16(std::numeric_limits<float>::infinity()).bits, 0x7F80);
}

TEST(DType, SizesNamesAndVisit) {
  EXPECT_EQ(size_of(DType::f32), 4U);
  EXPECT_EQ(size_of(DType::f16), 2U);
  EXPECT_EQ(size_of(DType::bf16), 2U);
  EXPECT_EQ(size_of(DType::i32), 4U);
  for (const DType t : {DType::f32, DType::f16, DType::bf16}) {
    EXPECT_EQ(visit_float("op", t, []<class T>() { return dtype_of<T>; }), t) << name_of(t);
  }
  try {
    visit_float("my_op", DType::i32, []<class T>() {});
    ADD_FAILURE();
  } catch (const ShapeError& e) {
    EXPECT_STREQ(e.what(), "my_op: expected a floating-point tensor, got i32");
  }
}

}  // namespace
}  // namespace rankine
