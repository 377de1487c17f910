#include "kernels/activation/activation.h"

#include "kernels/activation/activation_ref.h"
#include "kernels/lowrank/lowrank.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Activation : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Activation, ::testing::ValuesIn(targets()), target_name);

constexpr Gelu kGelus[] = {Gelu::erf, Gelu::tanh, Gelu::quick};

template <class F>
Doubles each(const Tensor& x, const F& f) {
  Doubles y = to_double(x);
  for (double& v : y) v = f(v);
  return y;
}
Doubles product(const Tensor& dy, Doubles slope) {
  for (std::size_t i = 0; i < slope.size(); ++i) slope[i] *= dy.data<float>()[i];
  return slope;
}

TEST_P(Activation, SiluMatchesForwardAndBackward) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor x = random_tensor(c, {n}, 1, 8.0F), dy = random_tensor(c, {n}, 2);
    Tensor y = c.like(x, "y"), dx = c.like(x, "dx"), inside = clone(c, dy);
    silu_forward(c, y, x);
    EXPECT_TRUE(matches(y, each(x, [](double v) { return ref::silu(v); })));
    silu_backward(c, dx, dy, x);
    EXPECT_TRUE(matches(dx, product(dy, each(x, [](double v) { return ref::silu_slope(v); }))));
    silu_backward(c, inside, inside, x);
    EXPECT_TRUE(same_bits(inside, dx));
  }
}

TEST_P(Activation, GeluMatchesForwardAndBackward) {
  for (const Gelu kind : kGelus) {
    for (const std::int64_t n : kLengths) {
      SCOPED_TRACE(join(int(kind), " ", n));
      const Tensor x = random_tensor(c, {n}, 1, 6.0F), dy = random_tensor(c, {n}, 2);
      Tensor y = c.like(x, "y"), dx = c.like(x, "dx"), inside = clone(c, dy);
      gelu_forward(c, y, x, kind);
      EXPECT_TRUE(matches(y, each(x, [kind](double v) { return ref::gelu(v, kind); })));
      gelu_backward(c, dx, dy, x, kind);
      EXPECT_TRUE(matches(dx, product(dy, each(x, [kind](double v) { return ref::gelu_slope(v, kind); }))));
      gelu_backward(c, inside, inside, x, kind);
      EXPECT_TRUE(same_bits(inside, dx));
    }
  }
}

TEST_P(Activation, GegluMatchesForwardAndBackward) {
  for (const auto& [rows, half] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {31, 33}, {5, 257}, {300, 128}}) {
    SCOPED_TRACE(join(rows, " ", half));
    const Tensor x = random_tensor(c, {rows, 2 * half}, 1, 4.0F), dy = random_tensor(c, {rows, half}, 2);
    Tensor y = c.like(dy, "y"), dx = c.like(x, "dx");
    geglu_forward(c, y, x);
    geglu_backward(c, dx, dy, x);
    Doubles want(y.numel()), dwant(x.numel());
    for (std::int64_t i = 0; i < y.numel(); ++i) {
      const std::int64_t at = i / half * 2 * half + i % half;
      const double value = x.data<float>()[at], gate = x.data<float>()[at + half], g = dy.data<float>()[i];
      want[i] = ref::geglu(value, gate);
      dwant[at] = g * ref::geglu_dvalue(gate);
      dwant[at + half] = g * ref::geglu_dgate(value, gate);
    }
    EXPECT_TRUE(matches(y, want));
    EXPECT_TRUE(matches(dx, dwant));
  }
}

TEST_P(Activation, SwigluMatchesForwardAndBackward) {
  for (const std::int64_t n : kLengths) {
    SCOPED_TRACE(n);
    const Tensor gate = random_tensor(c, {n}, 1, 8.0F), up = random_tensor(c, {n}, 2),
                 dy = random_tensor(c, {n}, 3);
    Tensor y = c.like(gate, "y"), dgate = c.like(gate, "dgate"), dup = c.like(gate, "dup");
    swiglu_forward(c, y, gate, up);
    swiglu_backward(c, dgate, dup, dy, gate, up);
    Doubles want(n), want_dgate(n), want_dup(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const double g = gate.data<float>()[i], u = up.data<float>()[i], d = dy.data<float>()[i];
      want[i] = ref::swiglu(g, u);
      want_dgate[i] = d * ref::swiglu_dgate(g, u);
      want_dup[i] = d * ref::swiglu_dup(g);
    }
    EXPECT_TRUE(matches(y, want));
    EXPECT_TRUE(matches(dgate, want_dgate));
    EXPECT_TRUE(matches(dup, want_dup));
    Tensor inside = clone(c, gate), a = clone(c, gate), b = clone(c, dy);
    swiglu_forward(c, inside, inside, up);
    EXPECT_TRUE(same_bits(inside, y));
    swiglu_backward(c, a, b, b, a, up);  // each gradient over an input
    EXPECT_TRUE(same_bits(a, dgate) && same_bits(b, dup));
  }
}

TEST_P(Activation, FusedSwigluIsTheSameOfGateThenUp) {
  for (const auto& [rows, half] :
       {std::pair<std::int64_t, std::int64_t>{1, 1}, {3, 7}, {31, 33}, {5, 257}, {300, 128}}) {
    SCOPED_TRACE(join(rows, " ", half));
    const Tensor x = random_tensor(c, {rows, 2 * half}, 1, 4.0F), dy = random_tensor(c, {rows, half}, 2);
    Tensor gate = c.like(dy, "gate"), up = c.like(dy, "up"), want = c.like(dy, "y"), y = c.like(dy, "y"),
           dx = c.like(x, "dx"), inside = clone(c, x);
    for (std::int64_t i = 0; i < dy.numel(); ++i) {
      gate.data<float>()[i] = x.data<float>()[i / half * 2 * half + i % half];
      up.data<float>()[i] = x.data<float>()[i / half * 2 * half + half + i % half];
    }
    swiglu_forward(c, want, gate, up);
    swiglu_forward(c, y, x);
    EXPECT_TRUE(matches(y, to_double(want)));
    swiglu_backward(c, gate, up, dy, gate, up);
    Doubles dwant(x.numel());
    for (std::int64_t i = 0; i < dy.numel(); ++i) {
      dwant[i / half * 2 * half + i % half] = gate.data<float>()[i];
      dwant[i / half * 2 * half + half + i % half] = up.data<float>()[i];
    }
    swiglu_backward(c, dx, dy, x);
    EXPECT_TRUE(matches(dx, dwant));
    swiglu_backward(c, inside, dy, inside);
    EXPECT_TRUE(same_bits(inside, dx));
  }
}

// With its adapters' middle a gated activation is the activation, then lowrank_middle.
TEST_P(Activation, LeavesTheMiddleOfItsAdapters) {
  const Tensor x = random_tensor(c, {5, 66}, 1, 4.0F), down = random_tensor(c, {4, 33}, 5);
  Tensor y = c.empty({5, 33}, "y"), want = c.like(y, "want"), s = c.empty({5, 4}, "s"),
         want_s = c.like(s, "s");
  geglu_forward(c, want, x);
  lowrank_middle(c, want_s, want, down);
  geglu_forward_with_middle(c, y, x, {s, down});
  EXPECT_TRUE(same_bits(y, want) && same_bits(s, want_s));
  swiglu_forward(c, want, x);
  lowrank_middle(c, want_s, want, down);
  swiglu_forward_with_middle(c, y, x, {s, down});
  EXPECT_TRUE(same_bits(y, want) && same_bits(s, want_s));
  const Tensor gate = random_tensor(c, {5, 33}, 2), up = random_tensor(c, {5, 33}, 3);
  swiglu_forward(c, want, gate, up);
  lowrank_middle(c, want_s, want, down);
  swiglu_forward_with_middle(c, y, gate, up, {s, down});
  EXPECT_TRUE(same_bits(y, want) && same_bits(s, want_s));
}

// The vector Phi(x) = y / x against erfc in double, over the whole range, as an absolute error: the 9e-8 that
// simd-inl.h states, and half a unit in the last place of the product.
TEST_P(Activation, NormalDistributionIsAccurateEverywhere) {
  constexpr std::int64_t kPoints = 120001;
  Tensor x = c.empty({kPoints}, "x"), y = c.like(x, "y");
  for (std::int64_t i = 0; i < kPoints; ++i) x.data<float>()[i] = float(double(i - kPoints / 2) * 2.5e-4);
  gelu_forward(c, y, x, Gelu::erf);
  double worst = 0;
  for (std::int64_t i = 0; i < kPoints; ++i) {
    const double v = x.data<float>()[i];
    if (v == 0) continue;
    worst = std::max(worst, std::abs(y.data<float>()[i] / v - 0.5 * std::erfc(-v / std::sqrt(2.0))));
  }
  EXPECT_LT(worst, 9e-8 + 6e-8);
}

// Far down the left tail silu(x) = x e^x keeps its relative accuracy: 1e-7 of the exponential and a few
// roundings.
TEST_P(Activation, SiluTailIsRelativelyAccurate) {
  constexpr std::int64_t kPoints = 40001;
  Tensor x = c.empty({kPoints}, "x"), y = c.like(x, "y");
  for (std::int64_t i = 0; i < kPoints; ++i) x.data<float>()[i] = float(-80.0 * double(i + 1) / kPoints);
  silu_forward(c, y, x);
  double worst = 0;
  for (std::int64_t i = 0; i < kPoints; ++i) {
    worst = std::max(worst, std::abs(y.data<float>()[i] / ref::silu(double(x.data<float>()[i])) - 1));
  }
  EXPECT_LT(worst, 4e-7);
}

TEST_P(Activation, ExtremeInputsStayFinite) {
  const Tensor x = tensor_of(c, {8}, {-1e4, -200, -90, -1e-30, 0, 90, 200, 1e4}),
               dy = tensor_of(c, {8}, Doubles(8, 1.0));
  Tensor y = c.like(x, "y"), dx = c.like(x, "dx");
  silu_forward(c, y, x);
  silu_backward(c, dx, dy, x);
  EXPECT_TRUE(matches(y, {0, 0, -90 * std::exp(-90.0), 0, 0, 90, 200, 1e4}));
  EXPECT_TRUE(matches(dx, {0, 0, 0, 0.5, 0.5, 1, 1, 1}));
  for (const Gelu kind : kGelus) {
    gelu_forward(c, y, x, kind);
    gelu_backward(c, dx, dy, x, kind);
    EXPECT_TRUE(matches(y, {0, 0, 0, 0, 0, 90, 200, 1e4})) << int(kind);
    EXPECT_TRUE(matches(dx, {0, 0, 0, 0.5, 0.5, 1, 1, 1})) << int(kind);
  }
}

TEST_P(Activation, NanStaysVisible) {
  const Tensor x = tensor_of(c, {2}, {NAN, 1});
  Tensor y = c.like(x, "y");
  silu_forward(c, y, x);
  EXPECT_TRUE(std::isnan(y.data<float>()[0]) && !std::isnan(y.data<float>()[1]));
  for (const Gelu kind : kGelus) {
    gelu_forward(c, y, x, kind);
    EXPECT_TRUE(std::isnan(y.data<float>()[0]) && !std::isnan(y.data<float>()[1])) << int(kind);
  }
}

TEST(ActivationReference, SlopesAreTheDerivatives) {
  const Doubles x{-7, -2.5, -1, -0.1, 0, 0.3, 1, 2, 6.5}, ones(x.size(), 1.0);
  const auto all = [](const std::function<double(double)>& f) {
    return [f](const Doubles& in) {
      Doubles out(in);
      for (double& v : out) v = f(v);
      return out;
    };
  };
  EXPECT_TRUE(
      close(all(ref::silu_slope<double>)(x), differences(all(ref::silu<double>), x, ones), kGradcheck));
  for (const Gelu kind : kGelus) {
    const auto value = all([kind](double v) { return ref::gelu(v, kind); });
    const auto slope = all([kind](double v) { return ref::gelu_slope(v, kind); });
    EXPECT_TRUE(close(slope(x), differences(value, x, ones), kGradcheck)) << int(kind);
  }
  const auto gated = [](const Doubles& in) { return Doubles{ref::geglu(in[0], in[1])}; };
  EXPECT_TRUE(close({ref::geglu_dvalue(0.7), ref::geglu_dgate(-1.3, 0.7)},
                    differences(gated, {-1.3, 0.7}, {1}), kGradcheck));
  const auto swiglu = [](const Doubles& in) { return Doubles{ref::swiglu(in[0], in[1])}; };
  EXPECT_TRUE(close({ref::swiglu_dgate(-1.3, 0.7), ref::swiglu_dup(-1.3)},
                    differences(swiglu, {-1.3, 0.7}, {1}), kGradcheck));
}

TEST(ActivationChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    Tensor x = random_tensor(c, {100003}, 1, 5.0F), y = c.like(x, "y");
    gelu_forward(c, y, x, Gelu::erf);
    silu_backward(c, y, y, x);
    return y;
  });
  expect_same_bits_for_threads([](const Context& c) {
    Tensor x = random_tensor(c, {301, 334}, 1, 5.0F), y = c.empty({301, 167}, "y");
    swiglu_forward(c, y, x);
    swiglu_backward(c, x, y, x);
    return x;
  });
}

TEST(ActivationChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor y = zeros(c, {2, 4}), other = zeros(c, {2, 5}), half = c.empty({2, 4}, "half", DType::f16),
         gated = zeros(c, {2, 8});
  expect_shape_error("silu_forward", [&] { silu_forward(c, y, other); });
  expect_shape_error("silu_forward", [&] { silu_forward(c, half, half); });
  expect_shape_error("silu_backward", [&] { silu_backward(c, y, other, y); });
  expect_shape_error("gelu_forward", [&] { gelu_forward(c, other, y, Gelu::erf); });
  expect_shape_error("gelu_backward", [&] { gelu_backward(c, y, y, other, Gelu::tanh); });
  expect_shape_error("geglu_forward", [&] { geglu_forward(c, y, other); });
  expect_shape_error("geglu_forward", [&] { geglu_forward(c, other, gated); });
  expect_shape_error("geglu_backward", [&] { geglu_backward(c, y, y, gated); });
  expect_shape_error("swiglu_forward", [&] { swiglu_forward(c, y, y, other); });
  expect_shape_error("swiglu_forward", [&] { swiglu_forward(c, other, gated); });
  expect_shape_error("swiglu_backward", [&] { swiglu_backward(c, y, y, other, y, y); });
  expect_shape_error("swiglu_backward", [&] { swiglu_backward(c, y, other, y, y, y); });
  expect_shape_error("swiglu_backward", [&] { swiglu_backward(c, y, y, gated); });
  Tensor s = zeros(c, {2, 3}), down = zeros(c, {3, 4});
  expect_shape_error("geglu_forward_with_middle", [&] { geglu_forward_with_middle(c, y, gated, {s, s}); });
  expect_shape_error("swiglu_forward_with_middle", [&] {
    swiglu_forward_with_middle(c, y, gated, {y, down});
  });
  expect_shape_error("swiglu_forward_with_middle", [&] {
    swiglu_forward_with_middle(c, y, y, other, {s, down});
  });
}

TEST(ActivationChecks, PlanAccountsOnly) {
  const Shape shape{3, 8}, narrow{3, 4};
  expect_planned("silu_forward", [&](const Context& c) {
    Tensor y = c.empty(shape, "y");
    silu_forward(c, y, y);
  });
  expect_planned("silu_backward", [&](const Context& c) {
    Tensor y = c.empty(shape, "y");
    silu_backward(c, y, y, y);
  });
  expect_planned("gelu_forward", [&](const Context& c) {
    Tensor y = c.empty(shape, "y");
    gelu_forward(c, y, y, Gelu::erf);
  });
  expect_planned("gelu_backward", [&](const Context& c) {
    Tensor y = c.empty(shape, "y");
    gelu_backward(c, y, y, y, Gelu::erf);
  });
  expect_planned("geglu_forward", [&](const Context& c) {
    Tensor y = c.empty(narrow, "y");
    geglu_forward(c, y, c.empty(shape, "x"));
  });
  expect_planned("geglu_backward", [&](const Context& c) {
    Tensor dx = c.empty(shape, "dx"), x = c.empty(shape, "x");
    geglu_backward(c, dx, c.empty(narrow, "dy"), x);
  });
  expect_planned("swiglu_forward", [&](const Context& c) {
    Tensor y = c.empty(narrow, "y");
    swiglu_forward(c, y, y, y);
  });
  expect_planned("swiglu_forward", [&](const Context& c) {
    Tensor y = c.empty(narrow, "y");
    swiglu_forward(c, y, c.empty(shape, "x"));
  });
  expect_planned("swiglu_backward", [&](const Context& c) {
    Tensor dgate = c.empty(narrow, "dgate"), dup = c.empty(narrow, "dup");
    swiglu_backward(c, dgate, dup, dup, dgate, dup);
  });
  expect_planned("swiglu_backward", [&](const Context& c) {
    Tensor x = c.empty(shape, "x");
    swiglu_backward(c, x, c.empty(narrow, "dy"), x);
  });
}

}  // namespace
}  // namespace rankine
