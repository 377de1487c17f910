#include "kernels/elementwise/elementwise.h"

#include "kernels/elementwise/elementwise_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Elementwise : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Elementwise, ::testing::ValuesIn(targets()), target_name);

TEST_P(Elementwise, UnaryAndBinaryMatchTheReference) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor a = random_tensor(c, {n}, 1), b = random_tensor(c, {n}, 2);
    const Doubles da = to_double(a), db = to_double(b);
    Tensor y = c.like(a, "y");
    fill(c, y, 2.5F);
    EXPECT_TRUE(matches(y, Doubles(n, 2.5)));
    scale(c, y, a, -1.5F);
    EXPECT_TRUE(matches(y, ref::scale(da, -1.5)));
    add(c, y, a, b);
    EXPECT_TRUE(matches(y, ref::add_scaled(da, db, 1.0)));
    multiply(c, y, a, b);
    EXPECT_TRUE(matches(y, ref::multiply(da, db)));
    y = clone(c, a);
    add_scaled(c, y, b, 0.25F);
    EXPECT_TRUE(matches(y, ref::add_scaled(da, db, 0.25)));
    y = clone(c, a);
    lerp(c, y, b, 0.125F);
    EXPECT_TRUE(matches(y, ref::lerp(da, db, 0.125)));
  }
}

TEST_P(Elementwise, InPlaceGivesTheSameBits) {
  for (const std::int64_t n : {33, 257}) {
    const Tensor a = random_tensor(c, {n}, 1), b = random_tensor(c, {n}, 2);
    Tensor apart = c.like(a, "y"), inside = clone(c, a);
    scale(c, apart, a, 3.0F);
    scale(c, inside, inside, 3.0F);
    EXPECT_TRUE(same_bits(apart, inside));
    add(c, apart, a, b);
    inside = clone(c, a);
    add(c, inside, inside, b);
    EXPECT_TRUE(same_bits(apart, inside));
    multiply(c, apart, a, b);
    inside = clone(c, b);
    multiply(c, inside, a, inside);
    EXPECT_TRUE(same_bits(apart, inside));
  }
}

TEST_P(Elementwise, NothingIsWrittenBeyondTheEnd) {
  for (const std::int64_t n : {1, 7, 17, 33}) {
    Tensor buffer = c.empty({n + 64}, "buffer");
    fill(c, buffer, 7.0F);
    Tensor y = buffer.flat(16, {n});
    const Tensor a = random_tensor(c, {n}, 1), b = random_tensor(c, {n}, 2);
    add(c, y, a, b);
    for (std::int64_t i = 0; i < n + 64; ++i) {
      if (i < 16 || i >= 16 + n) {
        ASSERT_EQ(buffer.data<float>()[i], 7.0F) << i;
      }
    }
  }
}

TEST_P(Elementwise, CopyConvertsExactlyAndRoundsToNearestEven) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor x = random_tensor(c, {n}, 3, 100.0F);
    Tensor y = c.like(x, "y"), back = c.like(x, "back");
    copy(c, y, x);
    EXPECT_TRUE(same_bits(y, x));
    for (const DType dtype : {DType::f16, DType::bf16}) {
      Tensor stored = c.empty({n}, "stored", dtype);
      copy(c, stored, x);
      const Tensor want = stored_as(c, x, dtype);
      EXPECT_TRUE(same_bits(stored, want)) << name_of(dtype);
      copy(c, back, stored);
      for (std::int64_t i = 0; i < n; ++i) {
        const float exact =
            dtype == DType::f16 ? to_float(want.data<Half>()[i]) : to_float(want.data<BFloat16>()[i]);
        ASSERT_EQ(back.data<float>()[i], exact);
      }
    }
  }
}

// Every pattern of a half format survives the way through fp32, and fp16 -> bf16 goes by the same rounding.
TEST_P(Elementwise, CopyKeepsAllHalfPatterns) {
  constexpr std::int64_t kPatterns = 65536;
  Tensor half = c.empty({kPatterns}, "half", DType::f16),
         half_back = c.empty({kPatterns}, "half", DType::f16);
  Tensor brain = c.empty({kPatterns}, "brain", DType::bf16),
         brain_back = c.empty({kPatterns}, "brain", DType::bf16);
  for (std::int64_t i = 0; i < kPatterns; ++i) {
    half.data<Half>()[i].bits = static_cast<std::uint16_t>(i);
    brain.data<BFloat16>()[i].bits = static_cast<std::uint16_t>(i);
  }
  Tensor wide = c.empty({kPatterns}, "wide");
  copy(c, wide, half);
  copy(c, half_back, wide);
  Tensor narrow = c.empty({kPatterns}, "narrow", DType::bf16);
  copy(c, narrow, half);
  for (std::int64_t i = 0; i < kPatterns; ++i) {
    const float x = to_float(half.data<Half>()[i]);
    if (std::isnan(x)) {
      ASSERT_TRUE(std::isnan(wide.data<float>()[i]) && std::isnan(to_float(half_back.data<Half>()[i]))) << i;
      continue;
    }
    ASSERT_EQ(wide.data<float>()[i], x) << i;
    ASSERT_EQ(half_back.data<Half>()[i].bits, i);
    ASSERT_EQ(narrow.data<BFloat16>()[i].bits, to_bfloat16(x).bits) << i;
  }
  copy(c, wide, brain);
  copy(c, brain_back, wide);
  for (std::int64_t i = 0; i < kPatterns; ++i) {
    if (!std::isnan(wide.data<float>()[i])) {
      ASSERT_EQ(brain_back.data<BFloat16>()[i].bits, i);
    }
  }
}

struct SampleShape {
  std::int64_t samples, space, channels;
};
constexpr SampleShape kSampleShapes[] = {{1, 1, 1},    {2, 3, 7},     {3, 1, 33},
                                         {1, 257, 31}, {2, 1500, 40}, {5, 4, 257}};

TEST_P(Elementwise, PerSampleOperationsMatchAndAreAdjoint) {
  for (const auto& [samples, space, channels] : kSampleShapes) {
    SCOPED_TRACE(join(samples, " ", space, " ", channels));
    const Tensor base = random_tensor(c, {samples, space, channels}, 1),
                 v = random_tensor(c, {samples, channels}, 2);
    Tensor y = clone(c, base), dv = c.like(v, "dv");
    add_per_sample(c, y, v);
    EXPECT_TRUE(matches(y, ref::add_per_sample(to_double(base), to_double(v), samples, channels)));
    y = clone(c, base);
    multiply_per_sample(c, y, v);
    EXPECT_TRUE(matches(y, ref::multiply_per_sample(to_double(base), to_double(v), samples, channels)));
    sum_per_sample(c, dv, base);
    EXPECT_TRUE(matches(dv, ref::sum_per_sample(to_double(base), samples, channels)));
    // <base, broadcast(v)> = <sum(base), v>
    const Doubles spread = ref::add_per_sample(Doubles(base.numel()), to_double(v), samples, channels);
    EXPECT_NEAR(dot(to_double(base), spread), dot(to_double(dv), to_double(v)), 1e-5 * double(base.numel()));
  }
}

TEST_P(Elementwise, TableOperationsMatchAndAreAdjoint) {
  for (const auto& [samples, space, channels] : kSampleShapes) {
    SCOPED_TRACE(join(samples, " ", space, " ", channels));
    const Tensor base = random_tensor(c, {samples, space, channels}, 1),
                 table = random_tensor(c, {space, channels}, 2);
    Tensor y = clone(c, base), dtable = clone(c, table);
    add_to_each_sample(c, y, table);
    EXPECT_TRUE(matches(y, ref::add_to_each_sample(to_double(base), to_double(table))));
    sum_over_samples(c, dtable, base);
    EXPECT_TRUE(matches(dtable, ref::sum_over_samples(to_double(table), to_double(base))));
    const Doubles sums = ref::sum_over_samples(Doubles(table.numel()), to_double(base));
    const Doubles spread = ref::add_to_each_sample(Doubles(base.numel()), to_double(table));
    EXPECT_NEAR(dot(to_double(base), spread), dot(sums, to_double(table)), 1e-9 * double(base.numel()));
  }
}

TEST_P(Elementwise, ConcatAndSplitAreInverseAndAdjoint) {
  for (const auto& [rows, a_cols, b_cols] : {SampleShape{1, 1, 1}, {3, 7, 2}, {31, 33, 257}, {400, 64, 32}}) {
    const Tensor a = random_tensor(c, {rows, a_cols}, 1), b = random_tensor(c, {rows, b_cols}, 2);
    Tensor y = c.empty({rows, a_cols + b_cols}, "y"), a_back = c.like(a, "a"), b_back = c.like(b, "b");
    concat_channels(c, y, a, b);
    EXPECT_TRUE(matches(y, ref::concat_channels(to_double(a), to_double(b), rows), {0, 0}));
    split_channels(c, a_back, b_back, y);
    EXPECT_TRUE(same_bits(a_back, a) && same_bits(b_back, b));
    const Tensor w = random_tensor(c, y.shape(), 3);
    Tensor wa = c.like(a, "wa"), wb = c.like(b, "wb");
    split_channels(c, wa, wb, w);
    EXPECT_NEAR(dot(to_double(y), to_double(w)),
                dot(to_double(a), to_double(wa)) + dot(to_double(b), to_double(wb)),
                1e-9 * double(y.numel()));
  }
}

TEST_P(Elementwise, MixUsesTheFactorsOfEachSample) {
  for (const auto& [samples, space, channels] : kSampleShapes) {
    const Tensor x = random_tensor(c, {samples, space, channels}, 1), z = random_tensor(c, x.shape(), 2);
    Doubles left, right;
    for (std::int64_t n = 0; n < samples; ++n)
      left.push_back(0.3 + double(n)), right.push_back(1 - 0.2 * double(n));
    const Tensor a = tensor_of(c, {samples}, left), b = tensor_of(c, {samples}, right);
    Tensor y = c.like(x, "y");
    mix_per_sample(c, y, a, x, b, z);
    EXPECT_TRUE(matches(y, ref::mix_per_sample(to_double(a), to_double(x), to_double(b), to_double(z))));
    Tensor inside = clone(c, x);
    mix_per_sample(c, inside, a, inside, b, z);
    EXPECT_TRUE(same_bits(inside, y));
  }
}

TEST(ElementwiseChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor dy = random_tensor(c, {2, 3000, 40}, 1);
    Tensor dv = c.empty({2, 40}, "dv");
    sum_per_sample(c, dv, dy);
    return dv;
  });
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor dy = random_tensor(c, {5, 100, 333}, 1);
    Tensor dtable = zeros(c, {100, 333});
    sum_over_samples(c, dtable, dy);
    return dtable;
  });
  expect_same_bits_for_threads([](const Context& c) {
    Tensor y = random_tensor(c, {100001}, 1);
    add_scaled(c, y, random_tensor(c, {100001}, 2), 0.3F);
    return y;
  });
}

TEST(ElementwiseChecks, EmptyTensorsAreFine) {
  Cpu cpu;
  Tensor y = cpu.c.empty({0, 5}, "y"), a = cpu.c.empty({0, 2}, "a"), b = cpu.c.empty({0, 3}, "b");
  EXPECT_NO_THROW(fill(cpu.c, y, 1.0F));
  EXPECT_NO_THROW(concat_channels(cpu.c, y, a, b));
  const Tensor none = cpu.c.empty({0}, "none");
  EXPECT_NO_THROW(mix_per_sample(cpu.c, y, none, y, none, y));
}

TEST(ElementwiseChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor y = zeros(c, {2, 3}), other = zeros(c, {2, 4}), half = c.empty({2, 3}, "half", DType::f16), none;
  Tensor ids = c.empty({2, 3}, "ids", DType::i32);
  const Tensor one = zeros(c, {1}), two = zeros(c, {2});
  expect_shape_error("fill", [&] { fill(c, half, 0); });
  expect_shape_error("copy", [&] { copy(c, y, other); });
  expect_shape_error("copy", [&] { copy(c, y, ids); });
  expect_shape_error("scale", [&] { scale(c, y, other, 1); });
  expect_shape_error("add", [&] { add(c, y, y, half); });
  expect_shape_error("add", [&] { add(c, none, y, y); });
  expect_shape_error("add_scaled", [&] { add_scaled(c, y, other, 1); });
  expect_shape_error("multiply", [&] { multiply(c, y, y, other); });
  expect_shape_error("lerp", [&] { lerp(c, y, other, 0.5F); });
  expect_shape_error("add_per_sample", [&] { add_per_sample(c, y, other); });
  expect_shape_error("multiply_per_sample", [&] { multiply_per_sample(c, y, other); });
  expect_shape_error("sum_per_sample", [&] { sum_per_sample(c, other, y); });
  expect_shape_error("add_to_each_sample", [&] { add_to_each_sample(c, y, other); });
  expect_shape_error("sum_over_samples", [&] { sum_over_samples(c, other, y); });
  expect_shape_error("concat_channels", [&] { concat_channels(c, y, y, other); });
  expect_shape_error("split_channels", [&] { split_channels(c, y, other, y); });
  expect_shape_error("mix_per_sample", [&] { mix_per_sample(c, y, two, y, one, y); });
  expect_shape_error("mix_per_sample", [&] { mix_per_sample(c, y, ids, y, two, y); });
}

TEST(ElementwiseChecks, PlanAccountsOnly) {
  const Shape map{2, 3, 4}, row{2, 4};
  expect_planned("fill", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    fill(c, y, 1);
  });
  expect_planned("copy", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    copy(c, y, c.empty(map, "x", DType::f16));
  });
  expect_planned("scale", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    scale(c, y, y, 1);
  });
  expect_planned("add", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    add(c, y, y, y);
  });
  expect_planned("add_scaled", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    add_scaled(c, y, y, 1);
  });
  expect_planned("multiply", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    multiply(c, y, y, y);
  });
  expect_planned("lerp", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    lerp(c, y, y, 1);
  });
  expect_planned("add_per_sample", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    add_per_sample(c, y, c.empty(row, "v"));
  });
  expect_planned("multiply_per_sample", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    multiply_per_sample(c, y, c.empty(row, "v"));
  });
  expect_planned("sum_per_sample", [&](const Context& c) {
    Tensor v = c.empty(row, "v");
    sum_per_sample(c, v, c.empty(map, "y"));
  });
  expect_planned("add_to_each_sample", [&](const Context& c) {
    Tensor y = c.empty(map, "y");
    add_to_each_sample(c, y, c.empty({3, 4}, "t"));
  });
  expect_planned("sum_over_samples", [&](const Context& c) {
    Tensor t = c.empty({3, 4}, "t");
    sum_over_samples(c, t, c.empty(map, "y"));
  });
  expect_planned("concat_channels", [&](const Context& c) {
    Tensor y = c.empty({2, 8}, "y"), a = c.empty(row, "a");
    concat_channels(c, y, a, a);
  });
  expect_planned("split_channels", [&](const Context& c) {
    Tensor a = c.empty(row, "a"), b = c.empty(row, "b");
    split_channels(c, a, b, c.empty({2, 8}, "y"));
  });
  expect_planned("mix_per_sample", [&](const Context& c) {
    Tensor y = c.empty(map, "y"), two = c.empty({2}, "factors");
    mix_per_sample(c, y, two, y, two, y);
  });
}

}  // namespace
}  // namespace rankine
