#include "kernels/norm/norm.h"

#include "kernels/lowrank/lowrank.h"
#include "kernels/norm/norm_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Norm : public EachTarget {
 protected:
  // x = offset + scale * uniform(-1, 1)
  Tensor input(Shape shape, double offset, double scale) const {
    Tensor x = random_tensor(c, shape, 1);
    for (float& v : x.span<float>()) v = float(offset + scale * v);
    return x;
  }
  Tensor gain(std::int64_t n) const {
    Tensor g = random_tensor(c, {n}, 2, 0.5F);
    for (float& v : g.span<float>()) v += 1;
    return g;
  }
  Tensor bias(std::int64_t n) const { return random_tensor(c, {n}, 3); }
};
INSTANTIATE_TEST_SUITE_P(Targets, Norm, ::testing::ValuesIn(targets()), target_name);

Doubles optional(const Tensor& t) { return t.defined() ? to_double(t) : Doubles(); }
Doubles twice(Doubles v) {
  for (double& x : v) x *= 2;
  return v;
}

struct RowShape {
  std::int64_t rows, cols;
};
constexpr RowShape kRowShapes[] = {{1, 1}, {3, 7}, {2, 31}, {5, 33}, {7, 257}, {700, 64}, {2100, 48}};

TEST_P(Norm, LayerNormMatchesTheReference) {
  for (const auto& [rows, cols] : kRowShapes) {
    for (const int params : {0, 1, 2, 3}) {  // bit 0: gain, bit 1: bias
      SCOPED_TRACE(join(rows, " ", cols, " ", params));
      const Tensor x = input({rows, cols}, 0.3, 1), dy = random_tensor(c, {rows, cols}, 4);
      const Tensor g = params & 1 ? gain(cols) : Tensor(), b = params & 2 ? bias(cols) : Tensor();
      const ref::NormInput<double> in{to_double(x), optional(g), optional(b), double(1e-5F)};
      const ref::NormLayout layout{rows, 1, cols, 1};
      Tensor y = c.like(x, "y"), stats = c.empty({rows, 2}, "stats"), dx = c.like(x, "dx");
      layer_norm_forward(c, y, stats, x, g, b, 1e-5F);
      EXPECT_TRUE(matches(y, ref::norm_forward(in, layout, true, false)));
      EXPECT_TRUE(matches(stats, ref::norm_stats(in, layout)));
      const auto want = ref::norm_backward(in, layout, to_double(dy), true, false);
      layer_norm_backward(c, dx, dy, x, stats, g);
      if (cols > 1) {
        EXPECT_TRUE(matches(dx, want.dx));
      }
      Tensor dgain = zeros(c, {cols}), dbias = zeros(c, {cols}), none;
      layer_norm_param_grad(c, dgain, dbias, dy, x, stats);
      if (cols > 1) {
        EXPECT_TRUE(matches(dgain, want.dgain));
      }
      EXPECT_TRUE(matches(dbias, want.dbias));
      Tensor again = zeros(c, {cols});
      layer_norm_param_grad(c, again, none, dy, x, stats);
      EXPECT_TRUE(same_bits(again, dgain));
      layer_norm_param_grad(c, again, none, dy, x, stats);  // adds
      if (cols > 1) {
        EXPECT_TRUE(matches(again, twice(want.dgain)));
      }
    }
  }
}

TEST_P(Norm, RmsNormMatchesTheReference) {
  for (const auto& [rows, cols] : kRowShapes) {
    for (const bool with_gain : {false, true}) {
      SCOPED_TRACE(join(rows, " ", cols, " ", with_gain));
      const Tensor x = input({rows, cols}, 0.3, 1), dy = random_tensor(c, {rows, cols}, 4);
      const Tensor g = with_gain ? gain(cols) : Tensor();
      const ref::NormInput<double> in{to_double(x), optional(g), {}, double(1e-6F)};
      const ref::NormLayout layout{rows, 1, cols, 1};
      Tensor y = c.like(x, "y"), rstd = c.empty({rows}, "rstd"), dx = c.like(x, "dx"),
             dgain = zeros(c, {cols});
      rms_norm_forward(c, y, rstd, x, g, 1e-6F);
      EXPECT_TRUE(matches(y, ref::norm_forward(in, layout, false, false)));
      const auto want = ref::norm_backward(in, layout, to_double(dy), false, false);
      rms_norm_backward(c, dx, dy, x, rstd, g);
      if (cols > 1) {
        EXPECT_TRUE(matches(dx, want.dx));
      }
      rms_norm_param_grad(c, dgain, dy, x, rstd);
      EXPECT_TRUE(matches(dgain, want.dgain));
    }
  }
}

// A row of one element is normalised to nothing: y is the bias, and no gradient passes but rounding.
TEST_P(Norm, RowsOfOneElement) {
  const Tensor x = input({4, 1}, 3, 1), dy = random_tensor(c, {4, 1}, 4);
  Tensor y = c.like(x, "y"), stats = c.empty({4, 2}, "stats"), dx = c.like(x, "dx");
  layer_norm_forward(c, y, stats, x, Tensor(), Tensor(), 1e-5F);
  layer_norm_backward(c, dx, dy, x, stats, Tensor());
  for (std::int64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(y.data<float>()[i], 0.0F);
    EXPECT_EQ(dx.data<float>()[i], 0.0F);
  }
}

// With its adapters' middle a norm is the norm, then lowrank_middle.
TEST_P(Norm, LeavesTheMiddleOfItsAdapters) {
  const Tensor x = input({5, 33}, 0.3, 1), g = gain(33), b = bias(33), down = random_tensor(c, {4, 33}, 5);
  Tensor y = c.like(x, "y"), stats = c.empty({5, 2}, "stats"), rstd = c.empty({5}, "rstd");
  Tensor want = c.like(x, "want"), s = c.empty({5, 4}, "s"), want_s = c.like(s, "want");
  layer_norm_forward(c, want, stats, x, g, b, 1e-5F);
  lowrank_middle(c, want_s, want, down);
  layer_norm_forward_with_middle(c, y, stats, x, g, b, 1e-5F, {s, down});
  EXPECT_TRUE(same_bits(y, want) && same_bits(s, want_s));
  rms_norm_forward(c, want, rstd, x, g, 1e-6F);
  lowrank_middle(c, want_s, want, down);
  rms_norm_forward_with_middle(c, y, rstd, x, g, 1e-6F, {s, down});
  EXPECT_TRUE(same_bits(y, want) && same_bits(s, want_s));
}

struct MapShape {
  std::int64_t samples, space, channels;
  int groups;
};
constexpr MapShape kMapShapes[] = {{1, 1, 8, 2}, {2, 3, 6, 3},      {1, 31, 33, 11},  {3, 7, 257, 1},
                                   {2, 5, 8, 8}, {1, 1100, 64, 32}, {2, 333, 320, 32}};

TEST_P(Norm, GroupNormMatchesTheReference) {
  for (const auto& [samples, space, channels, groups] : kMapShapes) {
    for (const int variant : {0, 1, 2, 3}) {  // bit 0: gain and bias, bit 1: SiLU
      SCOPED_TRACE(join(samples, " ", space, " ", channels, " ", groups, " ", variant));
      const bool silu = variant & 2;
      const GroupNormSpec spec{groups, 1e-5F, silu ? NormThen::silu : NormThen::nothing};
      const Tensor x = input({samples, space, channels}, -0.2, 2), dy = random_tensor(c, x.shape(), 4);
      const Tensor g = variant & 1 ? gain(channels) : Tensor(), b = variant & 1 ? bias(channels) : Tensor();
      const ref::NormInput<double> in{to_double(x), optional(g), optional(b), double(1e-5F)};
      const ref::NormLayout layout{samples, space, channels, groups};
      Tensor y = c.like(x, "y"), stats = c.empty({samples, groups, 2}, "stats"), dx = c.like(x, "dx");
      group_norm_forward(c, y, stats, x, g, b, spec);
      EXPECT_TRUE(matches(stats, ref::norm_stats(in, layout)));
      EXPECT_TRUE(matches(y, ref::norm_forward(in, layout, true, silu)));
      const auto want = ref::norm_backward(in, layout, to_double(dy), true, silu);
      group_norm_backward(c, dx, dy, x, stats, g, b, spec);
      EXPECT_TRUE(matches(dx, want.dx));
      Tensor dgain = zeros(c, {channels}), dbias = zeros(c, {channels});
      group_norm_param_grad(c, {dgain, dbias}, dy, x, stats, g, b, spec);
      EXPECT_TRUE(matches(dgain, want.dgain));
      EXPECT_TRUE(matches(dbias, want.dbias));
      group_norm_param_grad(c, {dgain, dbias}, dy, x, stats, g, b, spec);  // adds
      EXPECT_TRUE(matches(dgain, twice(want.dgain)));
      Tensor in_place = clone(c, dy);
      group_norm_backward(c, in_place, in_place, x, stats, g, b, spec);
      EXPECT_TRUE(same_bits(in_place, dx));
      in_place = clone(c, x);
      group_norm_forward(c, in_place, stats, in_place, g, b, spec);
      EXPECT_TRUE(same_bits(in_place, y));
    }
  }
}

// Mean 100 with deviation 0.1: sums of x and x^2 would lose every digit of the variance. The table's
// tolerance holds.
TEST_P(Norm, MeanFarAboveDeviation) {
  const double spread = 0.1 * std::sqrt(3.0);  // uniform numbers of deviation 0.1
  const Tensor x = input({2, 900, 64}, 100, spread);
  const ref::NormInput<double> in{to_double(x), {}, {}, double(1e-5F)};
  Tensor y = c.like(x, "y"), stats = c.empty({2, 8, 2}, "stats"), row_stats = c.empty({1800, 2}, "stats");
  group_norm_forward(c, y, stats, x, Tensor(), Tensor(), {8, 1e-5F, NormThen::nothing});
  EXPECT_TRUE(matches(stats, ref::norm_stats(in, {2, 900, 64, 8})));
  EXPECT_TRUE(matches(y, ref::norm_forward(in, {2, 900, 64, 8}, true, false)));
  layer_norm_forward(c, y, row_stats, x, Tensor(), Tensor(), 1e-5F);
  EXPECT_TRUE(matches(y, ref::norm_forward(in, {1800, 1, 64, 1}, true, false)));
}

TEST(NormReference, BackwardIsTheDerivative) {
  const Doubles x{0.3, -1.2, 0.7, 2.1, -0.4, 0.9, 1.5, -0.8, 0.2, -2.2, 0.6, 1.1};
  const Doubles gain{0.7, 1.3, -0.5, 1.1}, bias{0.1, -0.2, 0.3, 0.4},
      dy{0.5, -1, 0.25, 2, 1, -0.5, 0.75, 0.1, -0.3, 0.8, 1.2, -0.9};
  for (const auto& layout : {ref::NormLayout{3, 1, 4, 1}, {1, 3, 4, 2}}) {
    for (const bool centred : {true, false}) {
      for (const bool silu : {true, false}) {
        const ref::NormInput<double> in{x, gain, bias, 1e-5};
        const auto with = [&](Doubles ref::NormInput<double>::*field) {
          return [&, field](const Doubles& v) {
            ref::NormInput<double> moved = in;
            moved.*field = v;
            return ref::norm_forward(moved, layout, centred, silu);
          };
        };
        const auto got = ref::norm_backward(in, layout, dy, centred, silu);
        using In = ref::NormInput<double>;
        EXPECT_TRUE(close(got.dx, differences(with(&In::x), x, dy), kGradcheck));
        EXPECT_TRUE(close(got.dgain, differences(with(&In::gain), gain, dy), kGradcheck));
        EXPECT_TRUE(close(got.dbias, differences(with(&In::bias), bias, dy), kGradcheck));
      }
    }
  }
}

TEST(NormChecks, ThreadsDoNotChangeBits) {
  const GroupNormSpec spec{32, 1e-5F, NormThen::silu};
  const auto backward = [&](const Context& c, bool params) {
    const Tensor x = random_tensor(c, {1, 40, 40, 64}, 1), dy = random_tensor(c, x.shape(), 2);
    Tensor y = c.like(x, "y"), stats = c.empty({1, 32, 2}, "stats"), dx = c.like(x, "dx");
    Tensor dgain = zeros(c, {64}), dbias = zeros(c, {64});
    group_norm_forward(c, y, stats, x, Tensor(), Tensor(), spec);
    group_norm_backward(c, dx, y, x, stats, Tensor(), Tensor(), spec);
    group_norm_param_grad(c, {dgain, dbias}, dy, x, stats, Tensor(), Tensor(), spec);
    return params ? dgain : dx;
  };
  expect_same_bits_for_threads([&](const Context& c) { return backward(c, false); });
  expect_same_bits_for_threads([&](const Context& c) { return backward(c, true); });
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor x = random_tensor(c, {3000, 48}, 1), dy = random_tensor(c, x.shape(), 2);
    Tensor y = c.like(x, "y"), stats = c.empty({3000, 2}, "stats"), dgain = zeros(c, {48}),
           dbias = zeros(c, {48});
    layer_norm_forward(c, y, stats, x, Tensor(), Tensor(), 1e-5F);
    layer_norm_param_grad(c, dgain, dbias, dy, x, stats);
    return dgain;
  });
}

TEST(NormChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor x = zeros(c, {2, 6}), stats = zeros(c, {2, 2}), rstd = zeros(c, {2}), vec = zeros(c, {6}),
         bad = zeros(c, {5}), none;
  expect_shape_error("layer_norm_forward", [&] { layer_norm_forward(c, x, rstd, x, none, none, 1e-5F); });
  expect_shape_error("layer_norm_forward", [&] { layer_norm_forward(c, x, stats, x, bad, none, 1e-5F); });
  expect_shape_error("layer_norm_backward", [&] { layer_norm_backward(c, vec, x, x, stats, none); });
  expect_shape_error("layer_norm_param_grad", [&] { layer_norm_param_grad(c, bad, none, x, x, stats); });
  expect_shape_error("rms_norm_forward", [&] { rms_norm_forward(c, x, stats, x, none, 1e-5F); });
  expect_shape_error("rms_norm_backward", [&] { rms_norm_backward(c, x, x, x, rstd, bad); });
  expect_shape_error("rms_norm_param_grad", [&] { rms_norm_param_grad(c, none, x, x, rstd); });
  Tensor s = zeros(c, {2, 4}), down = zeros(c, {4, 6});
  expect_shape_error("layer_norm_forward_with_middle", [&] {
    layer_norm_forward_with_middle(c, x, stats, x, none, none, 1e-5F, {s, s});
  });
  expect_shape_error("rms_norm_forward_with_middle", [&] {
    rms_norm_forward_with_middle(c, x, rstd, x, none, 1e-5F, {x, down});
  });
  Tensor map_stats = zeros(c, {2, 3, 2});
  expect_shape_error("group_norm_forward", [&] {
    group_norm_forward(c, x, map_stats, x, none, none, {4, 1e-5F});
  });
  expect_shape_error("group_norm_forward", [&] {
    group_norm_forward(c, x, map_stats, x, none, none, {0, 1e-5F});
  });
  expect_shape_error("group_norm_backward", [&] {
    group_norm_backward(c, x, x, x, stats, none, none, {3, 1e-5F});
  });
  expect_shape_error("group_norm_param_grad", [&] {
    group_norm_param_grad(c, {vec, bad}, x, x, map_stats, none, none, {3, 1e-5F});
  });
}

TEST(NormChecks, PlanAccountsOnly) {
  const Tensor none;
  const Shape shape{3, 8};
  expect_planned("layer_norm_forward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), stats = c.empty({3, 2}, "stats");
    layer_norm_forward(c, x, stats, x, none, none, 1e-5F);
  });
  expect_planned("layer_norm_backward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), stats = c.empty({3, 2}, "stats");
    layer_norm_backward(c, x, x, x, stats, none);
  });
  expect_planned("layer_norm_param_grad", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), stats = c.empty({3, 2}, "stats"), d = c.empty({8}, "d");
    layer_norm_param_grad(c, d, d, x, x, stats);
  });
  expect_planned("rms_norm_forward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), rstd = c.empty({3}, "rstd");
    rms_norm_forward(c, x, rstd, x, none, 1e-5F);
  });
  expect_planned("rms_norm_backward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), rstd = c.empty({3}, "rstd");
    rms_norm_backward(c, x, x, x, rstd, none);
  });
  expect_planned("rms_norm_param_grad", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), rstd = c.empty({3}, "rstd"), d = c.empty({8}, "d");
    rms_norm_param_grad(c, d, x, x, rstd);
  });
  const GroupNormSpec spec{4, 1e-5F, NormThen::silu};
  expect_planned("group_norm_forward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), stats = c.empty({3, 4, 2}, "stats");
    group_norm_forward(c, x, stats, x, none, none, spec);
  });
  expect_planned("group_norm_backward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), stats = c.empty({3, 4, 2}, "stats");
    group_norm_backward(c, x, x, x, stats, none, none, spec);
  });
  expect_planned("group_norm_param_grad", [&](const Context& c) {
    Tensor x = c.empty(shape, "x"), stats = c.empty({3, 4, 2}, "stats"), d = c.empty({8}, "d");
    group_norm_param_grad(c, {d, d}, x, x, stats, none, none, spec);
  });
}

}  // namespace
}  // namespace rankine
