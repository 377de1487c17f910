#include "kernels/random/random.h"

#include "kernels/random/random_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Random : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Random, ::testing::ValuesIn(targets()), target_name);

constexpr RandomStream kStream{0x123456789ABCDEFULL, purpose("noise"), 41, 3};

TEST_P(Random, UniformIsWordByWord) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    Tensor y = c.empty({n}, "y");
    fill_uniform(c, y, kStream, 0, 1);
    for (std::int64_t i = 0; i < n; ++i)
      ASSERT_EQ(y.data<float>()[i], ref::uniform(kStream, i, 0.0F, 1.0F)) << i;
    fill_uniform(c, y, kStream, -3, 5);
    Doubles want(n);
    for (std::int64_t i = 0; i < n; ++i) want[i] = ref::uniform(kStream, i, -3.0, 5.0);
    EXPECT_TRUE(matches(y, want));
  }
}

TEST_P(Random, NormalIsTheHostsToTheBit) {
  for (const std::int64_t n : kLengths) {
    Tensor y = c.empty({n}, "y");
    fill_normal(c, y, kStream);
    for (std::int64_t i = 0; i < n; ++i)
      ASSERT_EQ(y.data<float>()[i], ref::normal(kStream, i)) << i << " of " << n;
  }
}

TEST_P(Random, DropoutKeepsByTheStreamAndIsItsOwnAdjoint) {
  for (const float p : {0.0F, 0.1F, 0.5F, 0.9F}) {
    for (const std::int64_t n : kLengths) {
      const Tensor x = random_tensor(c, {n}, 1), w = random_tensor(c, {n}, 2);
      Tensor y = c.like(x, "y"), back = c.like(x, "back"), inside = clone(c, x);
      dropout(c, y, x, kStream, p);
      Doubles want(n);
      for (std::int64_t i = 0; i < n; ++i) want[i] = ref::dropout(double(x.data<float>()[i]), kStream, i, p);
      EXPECT_TRUE(matches(y, want));
      dropout(c, inside, inside, kStream, p);
      EXPECT_TRUE(same_bits(inside, y));
      dropout(c, back, w, kStream, p);
      EXPECT_NEAR(testing_support::dot(to_double(y), to_double(w)),
                  testing_support::dot(to_double(x), to_double(back)), 1e-6 * double(n));
    }
  }
}

TEST_P(Random, NothingIsWrittenBeyondTheEnd) {
  for (const std::int64_t n : {1, 5, 63, 65}) {
    Tensor buffer = c.empty({256}, "buffer");
    std::fill_n(buffer.data<float>(), 256, 7.0F);
    Tensor y = buffer.flat(0, {n});
    fill_normal(c, y, kStream);
    fill_uniform(c, y, kStream, 0, 1);
    dropout(c, y, y, kStream, 0.5F);
    for (std::int64_t i = n; i < 256; ++i) ASSERT_EQ(buffer.data<float>()[i], 7.0F) << i << " of " << n;
  }
}

// 40,000 numbers: five standard errors of each moment.
TEST(RandomChecks, MomentsAreRight) {
  Cpu cpu;
  constexpr std::int64_t kCount = 40000;
  Tensor y = cpu.c.empty({kCount}, "y");
  const auto moments = [&] {
    double mean = 0, square = 0;
    for (const float v : y.span<float>()) mean += v / kCount, square += double(v) * v / kCount;
    return std::pair(mean, square - mean * mean);
  };
  fill_normal(cpu.c, y, kStream);
  const auto normal = moments();
  EXPECT_NEAR(normal.first, 0, 5.0 / std::sqrt(double(kCount)));
  EXPECT_NEAR(normal.second, 1, 5.0 * std::sqrt(2.0 / kCount));
  fill_uniform(cpu.c, y, kStream, 2, 4);
  const auto uniform = moments();
  EXPECT_NEAR(uniform.first, 3, 5.0 * std::sqrt(1.0 / 3 / kCount));
  EXPECT_NEAR(uniform.second, 1.0 / 3, 5.0 * std::sqrt(4.0 / 45 / kCount));
}

TEST(RandomChecks, PurposeStepSampleAndSeedChangeTheNumbers) {
  Cpu cpu;
  const auto first = [&](const RandomStream& s) {
    Tensor y = cpu.c.empty({1}, "y");
    fill_uniform(cpu.c, y, s, 0, 1);
    return y.data<float>()[0];
  };
  const float base = first(kStream);
  for (int field = 0; field < 5; ++field) {
    RandomStream s = kStream;
    if (field == 0) s.seed ^= 1;
    if (field == 1) s.seed ^= std::uint64_t{1} << 32;
    if (field == 2) s.purpose ^= 1;
    if (field == 3) s.step ^= 1;
    if (field == 4) s.sample ^= 1;
    EXPECT_NE(first(s), base) << field;
  }
  EXPECT_EQ(first(kStream), base);
}

TEST(RandomChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    Tensor y = c.empty({100003}, "y");
    fill_normal(c, y, kStream);
    dropout(c, y, y, kStream, 0.3F);
    return y;
  });
}

TEST(RandomChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor y = zeros(c, {4}), other = zeros(c, {5}), half = c.empty({4}, "half", DType::f16);
  expect_shape_error("fill_uniform", [&] { fill_uniform(c, half, kStream, 0, 1); });
  expect_shape_error("fill_normal", [&] { fill_normal(c, half, kStream); });
  expect_shape_error("dropout", [&] { dropout(c, y, other, kStream, 0.1F); });
  expect_shape_error("dropout", [&] { dropout(c, y, y, kStream, 1.0F); });
  expect_shape_error("dropout", [&] { dropout(c, y, y, kStream, -0.1F); });
}

TEST(RandomChecks, PlanAccountsOnly) {
  expect_planned("fill_uniform", [](const Context& c) {
    Tensor y = c.empty({4}, "y");
    fill_uniform(c, y, kStream, 0, 1);
  });
  expect_planned("fill_normal", [](const Context& c) {
    Tensor y = c.empty({4}, "y");
    fill_normal(c, y, kStream);
  });
  expect_planned("dropout", [](const Context& c) {
    Tensor y = c.empty({4}, "y");
    dropout(c, y, y, kStream, 0.1F);
  });
}

}  // namespace
}  // namespace rankine
