// Convolutions of channels-last maps against their meaning in double.
#include "kernels/conv/conv.h"

#include "kernels/conv/conv_ref.h"
#include "kernels/matmul/matmul.h"
#include "tests/kernels/products_support.h"

namespace rankine {
namespace {

using namespace testing_support;
using ref::ConvShape;

constexpr DType kWeightTypes[] = {DType::f32, DType::f16, DType::bf16};
constexpr Window kSame{3, 1, 1, 1}, kDown{3, 2, 1, 1}, kVaeDown{3, 2, 0, 1}, kPoint{1, 1, 0, 0},
    kPointDown{1, 2, 0, 0};
constexpr ConvShape kShapes[] = {{1, 1, 1, 1, 1, kSame},
                                 {3, 1, 1, 40, 36, kSame},
                                 {1, 4, 4, 4, 32, kSame},
                                 {2, 5, 3, 3, 20, kSame},
                                 {1, 9, 7, 64, 4, kSame},
                                 {1, 6, 6, 33, 8, kSame},
                                 {2, 8, 8, 40, 48, kSame},
                                 {1, 13, 11, 16, 16, kSame},
                                 {1, 16, 16, 32, 64, kSame},
                                 {2, 7, 5, 65, 70, kSame},
                                 {1, 8, 8, 16, 24, kDown},
                                 {2, 7, 9, 5, 6, kDown},
                                 {1, 1, 1, 3, 2, kDown},
                                 {1, 8, 8, 16, 24, kVaeDown},
                                 {2, 7, 5, 6, 7, kVaeDown},
                                 {1, 2, 2, 4, 4, kVaeDown},
                                 {2, 3, 5, 40, 17, kPoint},
                                 {1, 5, 4, 8, 3, kPointDown},
                                 {1, 9, 8, 6, 5, {5, 3, 2, 1}},
                                 {1, 6, 6, 4, 4, {2, 1, 0, 1}},
                                 {1, 6, 7, 3, 3, {3, 1, 2, 0}},
                                 // Enough pixels and channels for transformed tiles: one chunk and several,
                                 // odd edges, blocks of channels, paddings.
                                 {1, 34, 35, 16, 20, kSame},
                                 {1, 11, 12, 400, 33, kSame},
                                 {2, 9, 11, 18, 100, kSame},
                                 {1, 12, 9, 17, 16, {3, 1, 2, 0}},
                                 {1, 13, 12, 16, 19, {3, 1, 0, 1}},
                                 {1, 12, 12, 20, 16, {3, 1, 0, 0}},
                                 {1, 11, 11, 16, 16, {3, 1, 3, 2}},
                                 // Few tiles and many channels, in one direction or both: wide columns, cut
                                 // blocks, maps of one, two and three pixels.
                                 {1, 4, 4, 17, 340, kSame},
                                 {1, 4, 4, 340, 35, kSame},
                                 {1, 8, 8, 36, 330, kSame},
                                 {2, 4, 5, 390, 23, kSame},
                                 {5, 3, 3, 21, 26, kSame},
                                 {9, 2, 2, 19, 37, kSame},
                                 {24, 1, 1, 16, 18, kSame},
                                 {13, 1, 3, 33, 16, kSame},
                                 {3, 9, 10, 134, 31, kSame}};

std::string trace(const ConvShape& s, DType t = DType::f32) {
  return join(s.images, "x", s.height, "x", s.width, " ", s.in, "->", s.out, " window ", s.window.size, "/",
              s.window.stride, " pad ", s.window.pad_before, "+", s.window.pad_after, " ", name_of(t));
}
Shape x_shape(const ConvShape& s) { return {s.images, s.height, s.width, s.in}; }
Shape y_shape(const ConvShape& s) { return {s.images, s.out_height(), s.out_width(), s.out}; }
Shape w_shape(const ConvShape& s) { return {s.out, s.window.size, s.window.size, s.in}; }

TEST(Conv2d, ForwardMatchesReference) {
  const Machine m;
  for (const ConvShape& s : kShapes) {
    for (const DType t : kWeightTypes) {
      SCOPED_TRACE(trace(s, t));
      const Tensor x = m.random(x_shape(s), 1), w = stored_as(m.c, m.random(w_shape(s), 2), t),
                   bias = m.random({s.out}, 3);
      Tensor y = m.garbage(y_shape(s));
      conv2d_forward(m.c, y, x, w, bias, s.window);
      EXPECT_TRUE(matches(y, ref::conv2d_forward(to_double(x), decoded(w), to_double(bias), s)));
      conv2d_forward(m.c, y, x, w, {}, s.window);
      EXPECT_TRUE(matches(y, ref::conv2d_forward(to_double(x), decoded(w), {}, s)));
    }
  }
}

TEST(Conv2d, AdjointMatchesReference) {
  const Machine m;
  for (const ConvShape& s : kShapes) {
    for (const DType t : kWeightTypes) {
      SCOPED_TRACE(trace(s, t));
      const Tensor dy = m.random(y_shape(s), 1), w = stored_as(m.c, m.random(w_shape(s), 2), t);
      Tensor dx = m.garbage(x_shape(s)), sum = m.random(x_shape(s), 3);
      const std::vector<double> zero(static_cast<std::size_t>(dx.numel())), before = to_double(sum);
      conv2d_adjoint(m.c, dx, dy, w, s.window, Write::overwrite);
      EXPECT_TRUE(matches(dx, ref::conv2d_adjoint(zero, to_double(dy), decoded(w), s)));
      conv2d_adjoint(m.c, sum, dy, w, s.window, Write::accumulate);
      EXPECT_TRUE(matches(sum, ref::conv2d_adjoint(before, to_double(dy), decoded(w), s)));
    }
  }
}

TEST(Conv2d, WeightGradientMatchesReference) {
  const Machine m;
  for (const ConvShape& s : kShapes) {
    SCOPED_TRACE(trace(s));
    const Tensor dy = m.random(y_shape(s), 1), x = m.random(x_shape(s), 2);
    Tensor dw = m.random(w_shape(s), 3);
    const std::vector<double> before = to_double(dw);
    conv2d_weight_grad(m.c, dw, dy, x, s.window);
    EXPECT_TRUE(matches(dw, ref::conv2d_weight_grad(before, to_double(dy), to_double(x), s)));
  }
}

TEST(Conv2d, AdjointIsTheAdjoint) {
  const Machine m;
  for (const ConvShape& s : kShapes) {
    SCOPED_TRACE(trace(s));
    const Tensor x = m.random(x_shape(s), 1), y = m.random(y_shape(s), 2), w = m.random(w_shape(s), 3);
    Tensor wx = m.garbage(y_shape(s)), wty = m.garbage(x_shape(s));
    conv2d_forward(m.c, wx, x, w, {}, s.window);
    conv2d_adjoint(m.c, wty, y, w, s.window, Write::overwrite);
    EXPECT_TRUE(same_inner_product(wx, y, x, wty));
  }
}

TEST(Conv2d, GradientsMatchDifferences) {
  const Machine m;
  for (const Window& window : {kSame, kDown, kVaeDown}) {
    const ConvShape s{1, 4, 5, 2, 3, window};
    SCOPED_TRACE(trace(s));
    const Tensor x = m.random(x_shape(s), 1), w = m.random(w_shape(s), 2), dy = m.random(y_shape(s), 3);
    Tensor dx = m.garbage(x_shape(s)), dw = m.zeros(w_shape(s));
    conv2d_adjoint(m.c, dx, dy, w, window, Write::overwrite);
    conv2d_weight_grad(m.c, dw, dy, x, window);
    const auto loss = [&](const std::vector<double>& vx, const std::vector<double>& vw) {
      return inner(ref::conv2d_forward(vx, vw, {}, s), to_double(dy));
    };
    EXPECT_TRUE(
        matches(dx, central_differences(to_double(x), [&](const auto& v) { return loss(v, to_double(w)); })));
    EXPECT_TRUE(
        matches(dw, central_differences(to_double(w), [&](const auto& v) { return loss(to_double(x), v); })));
  }
}

TEST(Conv2d, APointwiseWindowIsALinear) {
  const Machine m;
  const Tensor x = m.random({2, 3, 4, 10}, 1), w = m.random({7, 10}, 2), bias = m.random({7}, 3);
  Tensor a = m.garbage({2, 3, 4, 7}), b = m.garbage({2, 3, 4, 7});
  conv2d_forward(m.c, a, x, w.reshape({7, 1, 1, 10}), bias, kPoint);
  linear_forward(m.c, b, x, w, bias);
  EXPECT_TRUE(same_bits(a, b));
}

TEST(Conv2d, ThreadsChangeNoBit) {
  std::vector<std::unique_ptr<Machine>> machines;
  std::vector<Tensor> results[7];
  for (const int threads : {1, 2, 3, 5}) {
    const Machine& m = *machines.emplace_back(std::make_unique<Machine>(threads));
    const Tensor x = m.random({2, 12, 12, 40}, 1), dy = m.random({2, 12, 12, 70}, 2),
                 w = m.random({70, 3, 3, 40}, 3);
    Tensor y = m.garbage({2, 12, 12, 70}), dx = m.garbage({2, 12, 12, 40}), dw = m.zeros({70, 3, 3, 40});
    Tensor down = m.garbage({2, 6, 6, 70}), ddown = m.garbage({2, 12, 12, 40});
    conv2d_forward(m.c, y, x, w, {}, kSame);
    conv2d_adjoint(m.c, dx, dy, w, kSame, Write::overwrite);
    conv2d_weight_grad(m.c, dw, dy, x, kSame);
    conv2d_forward(m.c, down, x, w, {}, kDown);
    conv2d_adjoint(m.c, ddown, down, w, kDown, Write::overwrite);
    // Few tiles, wide columns.
    const Tensor few = m.random({1, 5, 8, 40}, 4), v = m.random({340, 3, 3, 40}, 6),
                 u = m.random({40, 3, 3, 340}, 7);
    Tensor few_y = m.garbage({1, 5, 8, 340}), few_dx = m.garbage({1, 5, 8, 340});
    conv2d_forward(m.c, few_y, few, v, {}, kSame);
    conv2d_adjoint(m.c, few_dx, few, u, kSame, Write::overwrite);
    const Tensor all[] = {y, dx, dw, down, ddown, few_y, few_dx};
    for (int i = 0; i < 7; ++i) {
      results[i].push_back(all[i]);
      EXPECT_TRUE(same_bits(results[i].front(), results[i].back())) << i;
    }
  }
}

TEST(Conv2d, OutShape) {
  EXPECT_EQ(conv2d_out_shape({2, 64, 48, 4}, 320, kSame), (Shape{2, 64, 48, 320}));
  EXPECT_EQ(conv2d_out_shape({1, 65, 48, 4}, 8, kDown), (Shape{1, 33, 24, 8}));
  EXPECT_EQ(conv2d_out_shape({1, 64, 48, 4}, 8, kVaeDown), (Shape{1, 32, 24, 8}));
}

TEST(Conv2d, WrongShapesAreNamed) {
  const Machine m;
  const Tensor x = m.random({1, 4, 4, 3}, 1), w = m.random({5, 3, 3, 3}, 2);
  Tensor y = m.garbage({1, 4, 4, 5}), small = m.garbage({1, 2, 2, 5}), dx = m.garbage({1, 4, 4, 3}),
         dw = m.zeros({5, 3, 3, 3});
  expect_shape_error("conv2d_forward", [&] { conv2d_forward(m.c, small, x, w, {}, kSame); });
  expect_shape_error("conv2d_forward", [&] {
    conv2d_forward(m.c, y, x, m.random({5, 3, 3, 4}, 1), {}, kSame);
  });
  expect_shape_error("conv2d_forward", [&] {
    conv2d_forward(m.c, y, x, m.random({5, 1, 1, 3}, 1), {}, kSame);
  });
  expect_shape_error("conv2d_forward", [&] { conv2d_forward(m.c, y, x, w, m.random({4}, 1), kSame); });
  expect_shape_error("conv2d_forward", [&] { conv2d_forward(m.c, y, m.random({4, 4, 3}, 1), w, {}, kSame); });
  expect_shape_error("conv2d_adjoint", [&] { conv2d_adjoint(m.c, dx, small, w, kSame, Write::overwrite); });
  expect_shape_error("conv2d_weight_grad", [&] { conv2d_weight_grad(m.c, dw, small, x, kSame); });
  expect_shape_error("conv2d", [&] { conv2d_out_shape({1, 2, 2, 3}, 4, {5, 1, 0, 0}); });
  expect_shape_error("conv2d", [&] { conv2d_out_shape({1, 2, 2, 3}, 4, {3, 0, 1, 1}); });
}

// The largest maps and the most channels of the models that are trained, two threads.
TEST(Conv2d, ScratchStaysSmall) {
  const ConvShape kLarge[] = {{4, 64, 64, 960, 320, kSame},
                              {1, 512, 512, 128, 128, kSame},
                              {4, 16, 16, 2560, 1280, kSame},
                              {1, 128, 128, 640, 320, kSame}};
  for (const ConvShape& s : kLarge) {
    Machine m(2, Device::cpu().planned());
    const Tensor x = m.c.empty(x_shape(s), "x"), w = m.c.empty(w_shape(s), "w", DType::f16);
    Tensor y = m.c.empty(y_shape(s), "y"), dx = m.c.empty(x_shape(s), "dx");
    conv2d_forward(m.c, y, x, w, {}, s.window);
    conv2d_adjoint(m.c, dx, y, w, s.window, Write::overwrite);
    EXPECT_LE(m.runtime.memory().at_peak(Account::workspace), std::size_t{32} << 20) << trace(s);
  }
}

TEST(Conv2d, PlanAccountsWithoutRunning) {
  const Cost cost = planned_like_real([](const Machine& m) {
    const Tensor x = m.c.empty({2, 16, 16, 32}, "x"), w = m.c.empty({48, 3, 3, 32}, "w", DType::f16);
    Tensor y = m.c.empty({2, 16, 16, 48}, "y");
    conv2d_forward(m.c, y, x, w, {}, kSame);
  });
  EXPECT_EQ(cost.flops, 2.0 * 2 * 16 * 16 * 48 * 9 * 32);
}

}  // namespace
}  // namespace rankine
