// Bit functions and arithmetic of emulator_math.h against loops over bits and the C library.
#include <cmath>
#include <random>

#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {

TEST(EmulatorMath, Bits) {
  std::mt19937 generator(1);
  for (int i = 0; i < 2000; ++i) {
    const auto x = static_cast<unsigned>(generator()) >> (i % 32), y = static_cast<unsigned>(generator());
    int ones = 0, first = 0, zeros = 32;
    unsigned mirrored = 0;
    for (int bit = 31; bit >= 0; --bit) {
      if (!(x >> bit & 1U)) continue;
      ++ones;
      first = bit + 1;
      if (zeros == 32) zeros = 31 - bit;
      mirrored |= 1U << (31 - bit);
    }
    EXPECT_EQ(__popc(x), ones);
    EXPECT_EQ(__ffs(static_cast<int>(x)), first);
    EXPECT_EQ(__clz(static_cast<int>(x)), zeros);
    EXPECT_EQ(__brev(x), mirrored);
    const unsigned long long product = static_cast<unsigned long long>(x) * y;
    EXPECT_EQ(__umulhi(x, y), product >> 32);
    EXPECT_EQ(__umul64hi(product, 1ULL << 32), product >> 32);
    const auto a = static_cast<int>(y), b = static_cast<int>(x);
    EXPECT_EQ(__mulhi(a, b), static_cast<int>((static_cast<long long>(a) * b) >> 32));
    EXPECT_EQ(__float_as_uint(__uint_as_float(0x3F000000U + (x >> 9))), 0x3F000000U + (x >> 9));
    EXPECT_EQ(__funnelshift_l(x, y, 8), y << 8 | x >> 24);
    EXPECT_EQ(__funnelshift_r(x, y, 8), y << 24 | x >> 8);
  }
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__byte_perm(0x33221100U, 0x77665544U, 0x7310U), 0x77331100U);
  EXPECT_EQ(__byte_perm(0x00008000U, 0, 0x0009U), 0x000000FFU);  // the sign of byte 1
  EXPECT_EQ(__dp4a(0x01FF02FE, 0x02030405, 10), 10 + 1 * 2 - 1 * 3 + 2 * 4 - 2 * 5);
}

TEST(EmulatorMath, Functions) {
  EXPECT_EQ(__saturatef(-1), 0);
  EXPECT_EQ(__saturatef(0.25F), 0.25F);
  EXPECT_EQ(__saturatef(3), 1);
  EXPECT_EQ(__saturatef(NAN), 0);
  EXPECT_FLOAT_EQ(rsqrtf(16), 0.25F);
  EXPECT_FLOAT_EQ(normcdff(0), 0.5F);
  EXPECT_FLOAT_EQ(normcdff(1.5F), 0.5F * (1 + std::erf(1.5F / std::sqrt(2.0F))));
  EXPECT_FLOAT_EQ(__expf(1.5F), std::exp(1.5F));
  EXPECT_FLOAT_EQ(__logf(1.5F), std::log(1.5F));
  EXPECT_FLOAT_EQ(__powf(1.5F, 2.5F), std::pow(1.5F, 2.5F));
  EXPECT_FLOAT_EQ(__fdividef(1, 4), 0.25F);
  float s = 0, c = 0;
  sincosf(0.5F, &s, &c);
  EXPECT_FLOAT_EQ(s, __sinf(0.5F));
  EXPECT_FLOAT_EQ(c, __cosf(0.5F));
  EXPECT_EQ(__fmaf_rn(1 + 0x1p-12F, 1 + 0x1p-12F, -1), 0x1p-11F + 0x1p-24F);  // the product is not rounded
  EXPECT_EQ(__float2int_rn(2.5F), 2);
  EXPECT_EQ(__float2int_rz(-2.5F), -2);
}

TEST(EmulatorMath, MinAndMax) {
  EXPECT_EQ(min(-1, 2), -1);
  EXPECT_EQ(max(3U, 2U), 3U);
  EXPECT_EQ(max(-1, 2U), 0xFFFFFFFFU);  // as in C: the signed one is converted
  EXPECT_EQ(min(std::int64_t{1} << 40, std::int64_t{5}), 5);
  EXPECT_EQ(max(1LL << 40, 5LL), 1LL << 40);
  EXPECT_EQ(max(NAN, 2.0F), 2);
  EXPECT_EQ(min(2.0F, NAN), 2);
}

TEST(EmulatorMath, Vectors) {
  static_assert(sizeof(float4) == 16 && alignof(float4) == 16 && sizeof(uint2) == 8 && alignof(uint2) == 8);
  static_assert(sizeof(float3) == 12 && alignof(float3) == 4 && sizeof(uchar4) == 4 && alignof(uchar4) == 4);
  static_assert(std::is_trivially_default_constructible_v<float4>);
  const float4 v = make_float4(1, 2, 3, 4);
  float4 w;
  w = v;
  EXPECT_EQ(w.x + 10 * w.y + 100 * w.z + 1000 * w.w, 4321);
  const dim3 d(3, 4);
  EXPECT_EQ(d.z, 1U);
  const uint3 u = {1, 2, 3};
  EXPECT_EQ(u.z, 3U);
}

}  // namespace
}  // namespace rankine
