// Linear maps and batched products against their meaning in double.
#include "kernels/matmul/matmul.h"

#include "kernels/matmul/matmul_ref.h"
#include "tests/kernels/products_support.h"

namespace rankine {
namespace {

using namespace testing_support;

struct Sizes {
  std::int64_t rows, in, out;
};
constexpr DType kWeightTypes[] = {DType::f32, DType::f16, DType::bf16};
// Tiles are 14 x 32 or 6 x 16, blocks 320 x 320: below, at and above each of them.
constexpr Sizes kSizes[] = {{1, 1, 1},     {1, 3, 2},     {2, 4, 16},   {3, 5, 17},   {6, 31, 33},
                            {13, 32, 32},  {14, 33, 8},   {15, 64, 47}, {77, 100, 3}, {29, 321, 40},
                            {45, 700, 65}, {20, 50, 650}, {5, 384, 4},  {9, 385, 16}, {0, 8, 8}};

std::string name_of_sizes(const Sizes& s, DType t) {
  return join(s.rows, "x", s.in, "x", s.out, " ", name_of(t));
}

TEST(Linear, ForwardMatchesReference) {
  const Machine m;
  for (const Sizes& s : kSizes) {
    for (const DType t : kWeightTypes) {
      SCOPED_TRACE(name_of_sizes(s, t));
      const Tensor x = m.random({s.rows, s.in}, 1), w = stored_as(m.c, m.random({s.out, s.in}, 2), t);
      const Tensor bias = m.random({s.out}, 3);
      Tensor y = m.garbage({s.rows, s.out});
      linear_forward(m.c, y, x, w, bias);
      EXPECT_TRUE(matches(y, ref::linear_forward(to_double(x), decoded(w), to_double(bias), s.in, s.out)));
      linear_forward(m.c, y, x, w, {});
      EXPECT_TRUE(matches(y, ref::linear_forward(to_double(x), decoded(w), {}, s.in, s.out)));
    }
  }
}

TEST(Linear, AdjointMatchesReference) {
  const Machine m;
  for (const Sizes& s : kSizes) {
    for (const DType t : kWeightTypes) {
      SCOPED_TRACE(name_of_sizes(s, t));
      const Tensor dy = m.random({s.rows, s.out}, 1), w = stored_as(m.c, m.random({s.out, s.in}, 2), t);
      Tensor dx = m.garbage({s.rows, s.in}), sum = m.random({s.rows, s.in}, 3);
      const std::vector<double> zero(static_cast<std::size_t>(s.rows * s.in)), before = to_double(sum);
      linear_adjoint(m.c, dx, dy, w, Write::overwrite);
      EXPECT_TRUE(matches(dx, ref::linear_adjoint(zero, to_double(dy), decoded(w), s.in, s.out)));
      linear_adjoint(m.c, sum, dy, w, Write::accumulate);
      EXPECT_TRUE(matches(sum, ref::linear_adjoint(before, to_double(dy), decoded(w), s.in, s.out)));
    }
  }
}

TEST(Linear, WeightGradientMatchesReference) {
  const Machine m;
  for (const Sizes& s : kSizes) {
    SCOPED_TRACE(name_of_sizes(s, DType::f32));
    const Tensor dy = m.random({s.rows, s.out}, 1), x = m.random({s.rows, s.in}, 2);
    Tensor dw = m.random({s.out, s.in}, 3);
    const std::vector<double> before = to_double(dw);
    linear_weight_grad(m.c, dw, dy, x);
    EXPECT_TRUE(matches(dw, ref::linear_weight_grad(before, to_double(dy), to_double(x), s.in, s.out)));
  }
}

TEST(Linear, GradientsMatchDifferences) {
  const Machine m;
  const Tensor x = m.random({4, 5}, 1), w = m.random({3, 5}, 2), dy = m.random({4, 3}, 3);
  Tensor dx = m.garbage({4, 5}), dw = m.zeros({3, 5});
  linear_adjoint(m.c, dx, dy, w, Write::overwrite);
  linear_weight_grad(m.c, dw, dy, x);
  const auto loss = [&](const std::vector<double>& vx, const std::vector<double>& vw) {
    return inner(ref::linear_forward(vx, vw, {}, 5, 3), to_double(dy));
  };
  EXPECT_TRUE(
      matches(dx, central_differences(to_double(x), [&](const auto& v) { return loss(v, to_double(w)); })));
  EXPECT_TRUE(
      matches(dw, central_differences(to_double(w), [&](const auto& v) { return loss(to_double(x), v); })));
}

TEST(Linear, AdjointIsTheAdjoint) {
  const Machine m;
  for (const DType t : kWeightTypes) {
    const Tensor x = m.random({37, 333}, 1), y = m.random({37, 70}, 2);
    const Tensor w = stored_as(m.c, m.random({70, 333}, 3), t);
    Tensor wx = m.garbage({37, 70}), wty = m.garbage({37, 333});
    linear_forward(m.c, wx, x, w, {});
    linear_adjoint(m.c, wty, y, w, Write::overwrite);
    EXPECT_TRUE(same_inner_product(wx, y, x, wty));
  }
}

TEST(Linear, LeadingDimensionsAreRows) {
  const Machine m;
  const Tensor x = m.random({2, 3, 4, 8}, 1), w = m.random({6, 8}, 2);
  Tensor y = m.garbage({2, 3, 4, 6}), flat = m.garbage({24, 6});
  linear_forward(m.c, y, x, w, {});
  linear_forward(m.c, flat, x.reshape({24, 8}), w, {});
  EXPECT_TRUE(same_bits(y, flat));
}

TEST(Linear, ThreadsChangeNoBit) {
  std::vector<std::unique_ptr<Machine>> machines;
  std::vector<Tensor> ys, dxs, dws;
  for (const int threads : {1, 2, 3, 5}) {
    const Machine& m = *machines.emplace_back(std::make_unique<Machine>(threads));
    const Tensor x = m.random({150, 400}, 1), dy = m.random({150, 210}, 2);
    const Tensor w = stored_as(m.c, m.random({210, 400}, 3), DType::f16), bias = m.random({210}, 4);
    linear_forward(m.c, ys.emplace_back(m.garbage({150, 210})), x, w, bias);
    linear_adjoint(m.c, dxs.emplace_back(m.garbage({150, 400})), dy, w, Write::overwrite);
    linear_weight_grad(m.c, dws.emplace_back(m.zeros({210, 400})), dy, x);
    EXPECT_TRUE(same_bits(ys.front(), ys.back()));
    EXPECT_TRUE(same_bits(dxs.front(), dxs.back()));
    EXPECT_TRUE(same_bits(dws.front(), dws.back()));
  }
}

TEST(Linear, NaNSpreadsToItsRowOnly) {
  const Machine m;
  Tensor x = m.random({20, 40}, 1), y = m.garbage({20, 50});
  x.data<float>()[7 * 40 + 3] = std::numeric_limits<float>::quiet_NaN();
  linear_forward(m.c, y, x, m.random({50, 40}, 2), {});
  for (std::int64_t i = 0; i < y.numel(); ++i) EXPECT_EQ(std::isnan(y.data<float>()[i]), i / 50 == 7) << i;
}

TEST(Linear, WrongShapesAreNamed) {
  const Machine m;
  const Tensor x = m.random({4, 8}, 1), w = m.random({6, 8}, 2);
  Tensor y = m.garbage({4, 6}), wrong = m.garbage({4, 7}), dx = m.garbage({4, 8}), dw = m.zeros({6, 8});
  const Tensor ints = m.c.empty({6, 8}, "ints", DType::i32);
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, wrong, x, w, {}); });
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, y, m.random({4, 9}, 1), w, {}); });
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, y, x, w, m.random({5}, 1)); });
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, y, x, ints, {}); });
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, y, stored_as(m.c, x, DType::f16), w, {}); });
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, y, {}, w, {}); });
  expect_shape_error("linear_forward", [&] { linear_forward(m.c, y, x, {}, {}); });
  expect_shape_error("linear_adjoint", [&] { linear_adjoint(m.c, dx, wrong, w, Write::overwrite); });
  expect_shape_error("linear_adjoint", [&] { linear_adjoint(m.c, wrong, y, w, Write::overwrite); });
  expect_shape_error("linear_weight_grad", [&] { linear_weight_grad(m.c, dw, wrong, x); });
  expect_shape_error("linear_weight_grad", [&] { linear_weight_grad(m.c, dw, y, m.random({3, 8}, 1)); });
}

TEST(Linear, PlanAccountsWithoutRunning) {
  const Cost cost = planned_like_real([](const Machine& m) {
    const Tensor x = m.c.empty({10, 20}, "x"), w = m.c.empty({30, 20}, "w", DType::f16);
    Tensor y = m.c.empty({10, 30}, "y");
    linear_forward(m.c, y, x, w, {});
  });
  EXPECT_EQ(cost.flops, 2.0 * 10 * 20 * 30);
  EXPECT_EQ(cost.bytes, 4.0 * (10 * 20 + 10 * 30) + 2.0 * 30 * 20);
}

TEST(BatchedMatmul, MatchesReference) {
  const Machine m;
  const ref::BatchedSizes kBatches[] = {
      {1, 3, 4, 5}, {5, 17, 33, 9}, {2, 70, 40, 330}, {9, 1, 1, 1}, {0, 2, 2, 2}};
  for (const ref::BatchedSizes& s : kBatches) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        const bool a_t = ta == Transpose::yes, b_t = tb == Transpose::yes;
        SCOPED_TRACE(join(s.batch, "x", s.m, "x", s.n, "x", s.k, " ", a_t, b_t));
        const Tensor a = m.random(a_t ? Shape{s.batch, s.k, s.m} : Shape{s.batch, s.m, s.k}, 1);
        const Tensor b = m.random(b_t ? Shape{s.batch, s.n, s.k} : Shape{s.batch, s.k, s.n}, 2);
        Tensor y = m.garbage({s.batch, s.m, s.n});
        batched_matmul(m.c, y, a, ta, b, tb);
        EXPECT_TRUE(matches(y, ref::batched_matmul(to_double(a), a_t, to_double(b), b_t, s)));
      }
    }
  }
}

TEST(BatchedMatmul, WrongShapesAreNamed) {
  const Machine m;
  Tensor y = m.garbage({2, 3, 4});
  const Tensor a = m.random({2, 3, 5}, 1), b = m.random({2, 5, 4}, 2);
  expect_shape_error("batched_matmul", [&] { batched_matmul(m.c, y, a, Transpose::yes, b, Transpose::no); });
  expect_shape_error("batched_matmul", [&] { batched_matmul(m.c, y, a, Transpose::no, b, Transpose::yes); });
  expect_shape_error("batched_matmul", [&] {
    batched_matmul(m.c, y, a, Transpose::no, m.random({3, 5, 4}, 2), Transpose::no);
  });
  expect_shape_error("batched_matmul", [&] {
    batched_matmul(m.c, y, m.random({3, 5}, 1), Transpose::no, b, Transpose::no);
  });
}

}  // namespace
}  // namespace rankine
