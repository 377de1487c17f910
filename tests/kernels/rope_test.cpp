#include "kernels/rope/rope.h"

#include "kernels/rope/rope_frequencies.h"
#include "kernels/rope/rope_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;
using Kind = RopeScaling::Kind;

Tensor integers(const Context& c, const std::vector<std::int32_t>& values) {
  Tensor t = c.empty({static_cast<std::int64_t>(values.size())}, "positions", DType::i32);
  std::copy(values.begin(), values.end(), t.data<std::int32_t>());
  return t;
}
Tensor floats(const Context& c, const std::vector<float>& values) {
  return tensor_of(c, {static_cast<std::int64_t>(values.size())}, Doubles(values.begin(), values.end()));
}
Tensor table_of(const Context& c, std::int64_t rows, std::int64_t rotary_dims) {
  std::vector<std::int32_t> positions;
  for (std::int64_t r = 0; r < rows; ++r) positions.push_back(static_cast<std::int32_t>(r * 37 % 4096));
  Tensor table = c.empty({rows, rotary_dims}, "table");
  rope_table(c, table, integers(c, positions), floats(c, rope_inv_freq(10000, rotary_dims)));
  return table;
}

class Rope : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Rope, ::testing::ValuesIn(targets()), target_name);

const RopeSpec kSpecs[] = {{1, 2, 0, 2, RopeSpec::half},         {3, 10, 0, 10, RopeSpec::half},
                           {2, 128, 0, 128, RopeSpec::half},     {4, 128, 64, 64, RopeSpec::half},
                           {2, 77, 3, 46, RopeSpec::half},       {1, 2, 0, 2, RopeSpec::interleaved},
                           {3, 9, 1, 6, RopeSpec::interleaved},  {2, 128, 0, 64, RopeSpec::interleaved},
                           {2, 75, 5, 66, RopeSpec::interleaved}};

TEST_P(Rope, MatchesTheReferenceBothWaysAndInPlace) {
  for (const RopeSpec& s : kSpecs) {
    SCOPED_TRACE(join(s.heads, " ", s.head_dim, " ", s.first, " ", s.rotary_dims, " ", int(s.pairing)));
    constexpr std::int64_t kRows = 15;
    const Tensor table = table_of(c, kRows, s.rotary_dims);
    const Tensor x = random_tensor(c, {3, 5, s.heads * s.head_dim}, 1);
    Tensor y = c.like(x, "y"), dx = c.like(x, "dx"), inside = clone(c, x);
    rope_forward(c, y, x, table, s);
    rope_backward(c, dx, x, table, s);
    Doubles want = to_double(x), dwant = want, angles = to_double(table);
    for (std::int64_t r = 0; r < kRows; ++r) {
      ref::rope_row(s, want.data() + r * x.cols(), angles.data() + r * s.rotary_dims, 1.0);
      ref::rope_row(s, dwant.data() + r * x.cols(), angles.data() + r * s.rotary_dims, -1.0);
    }
    EXPECT_TRUE(matches(y, want));
    EXPECT_TRUE(matches(dx, dwant));
    rope_forward(c, inside, inside, table, s);
    EXPECT_TRUE(same_bits(inside, y));
    rope_backward(c, inside, inside, table, s);  // a rotation and back
    EXPECT_TRUE(matches(inside, to_double(x)));
  }
}

// <R x, y> = <x, R^T y>
TEST_P(Rope, BackwardIsTheAdjoint) {
  for (const RopeSpec& s : kSpecs) {
    const Tensor table = table_of(c, 4, s.rotary_dims);
    const Tensor x = random_tensor(c, {4, s.heads * s.head_dim}, 1), dy = random_tensor(c, x.shape(), 2);
    Tensor y = c.like(x, "y"), dx = c.like(x, "dx");
    rope_forward(c, y, x, table, s);
    rope_backward(c, dx, dy, table, s);
    EXPECT_NEAR(dot(to_double(y), to_double(dy)), dot(to_double(x), to_double(dx)), 1e-5 * double(x.numel()));
  }
}

TEST(RopeTable, AnglesAreExactFarOut) {
  Cpu cpu;
  const Context& c = cpu.c;
  const std::vector<std::int32_t> positions{0, 1, 1000, 123457, 1000000};
  const std::vector<float> inv_freq = rope_inv_freq(10000, 64);
  Tensor table = c.empty({5, 64}, "table");
  rope_table(c, table, integers(c, positions), floats(c, inv_freq), 1.5F);
  Doubles want(5 * 64);
  for (std::size_t r = 0; r < 5; ++r)
    for (std::size_t i = 0; i < 32; ++i) {
      const float angle = static_cast<float>(positions[r]) * inv_freq[i];
      want[r * 64 + i] = 1.5 * std::cos(double(angle));
      want[r * 64 + 32 + i] = 1.5 * std::sin(double(angle));
    }
  // One rounding to fp32 of a number up to 1.5.
  EXPECT_TRUE(close(to_double(table), want, {6e-8, 6e-8}));
}

// x = sin(0.37 i) of a head of 8 at positions 0, 1, 77 and 4095, as transformers 4.44 turns it (fp32).
TEST(RopeTable, AgreesWithTransformers) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor x = c.empty({4, 8}, "x"), table = c.empty({4, 8}, "table");
  for (std::int64_t i = 0; i < 32; ++i) x.data<float>()[i] = std::sin(static_cast<float>(i) * 0.37F);
  rope_table(c, table, integers(c, {0, 1, 77, 4095}), floats(c, rope_inv_freq(10000, 8)));
  rope_forward(c, x, x, table, {1, 8, 0, 8, RopeSpec::half});
  EXPECT_TRUE(
      matches(x, {0.0,         0.36161545,  0.67428792,  0.89569867,  0.99588084,  0.96127522,  0.79656547,
                  0.52404422,  0.90802330,  -0.08700071, -0.52088332, -0.79999727, -0.36841545, -1.00896597,
                  -0.89790118, -0.67004007, -0.88727295, -0.98364049, -0.40369186, 0.61633533,  -0.38292053,
                  0.15956701,  0.94489551,  0.84233379,  -0.83716851, 0.93682402,  0.08434217,  -0.41527200,
                  -0.46400607, -0.28932941, 1.00977767,  0.95169747}));
}

// Frequencies of ROPE_INIT_FUNCTIONS in transformers 4.44, at a few pairs. fp32 steps: within a few units in
// the last place.
void expect_frequencies(const std::vector<float>& got, const std::vector<std::size_t>& pairs,
                        const Doubles& want) {
  for (std::size_t i = 0; i < pairs.size(); ++i)
    EXPECT_NEAR(got.at(pairs[i]) / want[i], 1.0, 4e-7) << "pair " << pairs[i];
}

const std::vector<std::size_t> kPairs{0, 1, 2, 16, 21, 32, 42, 48, 63};

TEST(RopeFrequencies, PlainAndLinear) {
  expect_frequencies(rope_inv_freq(10000, 128), kPairs,
                     {1.0, 0.865964353, 0.749894202, 0.100000001, 0.0486967526, 0.00999999978, 0.00237137382,
                      0.00100000005, 0.000115478193});
  expect_frequencies(rope_inv_freq(1e6, 128), kPairs,
                     {1.0, 0.805842221, 0.649381638, 0.0316227786, 0.0107460786, 0.00100000005,
                      0.000115478193, 3.16227743e-05, 1.24093776e-06});
  expect_frequencies(rope_inv_freq(10000, 128, {.kind = Kind::linear, .factor = 4}), kPairs,
                     {0.25, 0.216491088, 0.18747355, 0.0250000004, 0.0121741882, 0.00249999994,
                      0.000592843455, 0.000250000012, 2.88695483e-05});
}

TEST(RopeFrequencies, DynamicFollowsTheLength) {
  RopeScaling scaling{.kind = Kind::dynamic, .factor = 2, .original_length = 2048, .length = 6000};
  expect_frequencies(rope_inv_freq(10000, 128, scaling), kPairs,
                     {1.0, 0.844504356, 0.713187635, 0.0669314712, 0.0287501328, 0.00447982177,
                      0.000826570089, 0.000299841049, 2.37639997e-05});
  scaling.length = 1000;
  EXPECT_EQ(rope_inv_freq(10000, 128, scaling), rope_inv_freq(10000, 128));
}

TEST(RopeFrequencies, Yarn) {
  RopeScaling scaling{.kind = Kind::yarn, .factor = 4, .original_length = 32768};
  expect_frequencies(rope_inv_freq(1e6, 128, scaling), kPairs,
                     {1.0, 0.805842221, 0.649381638, 0.0316227786, 0.0107460786, 0.000602941145,
                      2.88695483e-05, 7.90569356e-06, 3.10234441e-07});
  EXPECT_NEAR(rope_attention_factor(scaling), 1.138629436, 1e-6);
  scaling = {.kind = Kind::yarn,
             .factor = 16,
             .original_length = 2048,
             .beta_fast = 16,
             .beta_slow = 2,
             .attention_factor = 1.25F};
  expect_frequencies(rope_inv_freq(1e4, 64, scaling), {0, 1, 2, 8, 10, 16, 21, 24, 31},
                     {1.0, 0.749894202, 0.562341332, 0.100000001, 0.0562341288, 0.00296874996, 0.000148210864,
                      6.2500003e-05, 8.3345094e-06});
  EXPECT_EQ(rope_attention_factor(scaling), 1.25F);
  EXPECT_EQ(rope_attention_factor({.kind = Kind::linear, .factor = 4}), 1.0F);
}

TEST(RopeFrequencies, Llama3AndDivisors) {
  RopeScaling scaling{.kind = Kind::llama3, .factor = 8, .original_length = 8192};
  const std::vector<float> scaled = rope_inv_freq(5e5, 128, scaling);
  expect_frequencies(scaled, kPairs,
                     {1.0, 0.814617217, 0.663601279, 0.0376060307, 0.0134904198, 0.000524846022,
                      2.2748929e-05, 6.64786967e-06, 3.06892588e-07});
  // The way GGUF carries the same scaling.
  const std::vector<float> plain = rope_inv_freq(5e5, 128);
  RopeScaling divided;
  for (std::size_t i = 0; i < plain.size(); ++i) divided.divisors.push_back(plain[i] / scaled[i]);
  const std::vector<float> again = rope_inv_freq(5e5, 128, divided);
  for (std::size_t i = 0; i < plain.size(); ++i) EXPECT_NEAR(again[i] / scaled[i], 1.0, 2e-7);
}

TEST(RopeFrequencies, RefusesWhatHasNoMeaning) {
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(10000, 7); });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(10000, 0); });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(1, 8); });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(NAN, 8); });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(10000, 8, {.kind = Kind::linear, .factor = 0}); });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(10000, 8, {.kind = Kind::yarn, .factor = 4}); });
  expect_shape_error("rope_inv_freq", [] {
    rope_inv_freq(10000, 2, {.kind = Kind::dynamic, .factor = 2, .original_length = 8, .length = 16});
  });
  expect_shape_error("rope_inv_freq", [] {
    rope_inv_freq(10000, 8, {.kind = Kind::llama3, .factor = 8, .original_length = 8, .low_freq_factor = 4});
  });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(10000, 8, {.divisors = {1, 1, 1}}); });
  expect_shape_error("rope_inv_freq", [] { rope_inv_freq(10000, 8, {.divisors = {1, 1, 0, 1}}); });
}

TEST(RopeChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor table = table_of(c, 301, 64);
    Tensor x = random_tensor(c, {301, 8 * 64}, 1);
    rope_forward(c, x, x, table, {8, 64, 0, 64, RopeSpec::interleaved});
    return x;
  });
}

TEST(RopeChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor x = zeros(c, {6, 16}), table = zeros(c, {6, 8}), short_table = zeros(c, {5, 8}),
         other = zeros(c, {6, 12});
  const auto forward = [&](Tensor& y, const Tensor& cos_sin, const RopeSpec& s) {
    expect_shape_error("rope_forward", [&] { rope_forward(c, y, x, cos_sin, s); });
  };
  forward(x, short_table, {2, 8, 0, 8});
  forward(other, table, {2, 8, 0, 8});
  forward(x, table, {3, 8, 0, 8});
  forward(x, table, {2, 8, 1, 8});
  forward(x, table, {2, 8, -1, 8});
  forward(x, table, {2, 8, 0, 7});
  forward(x, table, {2, 8, 0, 0});
  forward(x, table, {2, 8, 0, 6});  // not the table's rotation
  expect_shape_error("rope_backward", [&] { rope_backward(c, x, other, table, {2, 8, 0, 8}); });
  const Tensor positions = integers(c, {1, 2, 3, 4, 5, 6});
  expect_shape_error("rope_table", [&] { rope_table(c, table, positions, zeros(c, {3})); });
  expect_shape_error("rope_table", [&] { rope_table(c, table, zeros(c, {6}), zeros(c, {4})); });
  expect_shape_error("rope_table", [&] { rope_table(c, short_table, positions, zeros(c, {4})); });
  expect_shape_error("rope_table", [&] { rope_table(c, table, positions, zeros(c, {4}), NAN); });
}

TEST(RopeChecks, PlanAccountsOnly) {
  expect_planned("rope_table", [](const Context& c) {
    Tensor table = c.empty({6, 8}, "table");
    rope_table(c, table, c.empty({6}, "positions", DType::i32), c.empty({4}, "inv_freq"));
  });
  expect_planned("rope_forward", [](const Context& c) {
    Tensor x = c.empty({6, 16}, "x");
    rope_forward(c, x, x, c.empty({6, 8}, "table"), {2, 8, 0, 8});
  });
  expect_planned("rope_backward", [](const Context& c) {
    Tensor x = c.empty({6, 16}, "x");
    rope_backward(c, x, x, c.empty({6, 8}, "table"), {2, 8, 0, 8});
  });
}

}  // namespace
}  // namespace rankine
