// matmul.h on CUDA: every layout, the aligned and the unaligned path, split sums, against the reference in
// double of the rounded operands.
#include "kernels/matmul/matmul.h"

#include "kernels/matmul/gemm_plan.h"
#include "kernels/matmul/matmul_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class MatmulCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, MatmulCuda, gpu_types(), gpu_case_name);

struct Sizes {
  std::int64_t rows, in, out;
};
std::string trace(const Sizes& s) { return join(s.rows, "x", s.in, "x", s.out); }
// Tiny, odd (the path without alignment), multiples of 8 beyond one tile with ragged edges.
constexpr Sizes kSizes[] = {{1, 1, 1}, {3, 5, 7}, {17, 24, 40}, {130, 136, 72}, {66, 40, 136}};

TEST_P(MatmulCuda, ForwardMatchesReference) {
  for (const Sizes& s : kSizes) {
    SCOPED_TRACE(trace(s));
    const Tensor x = random({s.rows, s.in}, 1), w = random({s.out, s.in}, 2);
    const Tensor bias = random({s.out}, 3, 1.0F, s.rows % 2 == 0 ? DType::f32 : type());
    Tensor y = garbage({s.rows, s.out});
    linear_forward(c(), y, x, w, bias);
    EXPECT_TRUE(
        close_to(y, ref::linear_forward(from_device(x), from_device(w), from_device(bias), s.in, s.out)));
  }
}

TEST_P(MatmulCuda, ForwardWithoutBias) {
  const Tensor x = random({2, 5, 16}, 1), w = random({24, 16}, 2);
  Tensor y = garbage({2, 5, 24});
  linear_forward(c(), y, x, w, {});
  EXPECT_TRUE(close_to(y, ref::linear_forward(from_device(x), from_device(w), {}, 16, 24)));
}

TEST_P(MatmulCuda, AdjointMatchesReference) {
  for (const Sizes& s : kSizes) {
    for (const Write write : {Write::overwrite, Write::accumulate}) {
      SCOPED_TRACE(trace(s));
      const Tensor dy = random({s.rows, s.out}, 1), w = random({s.out, s.in}, 2);
      Tensor dx = write == Write::overwrite ? garbage({s.rows, s.in}) : random({s.rows, s.in}, 3);
      const Doubles start = write == Write::overwrite ? Doubles(s.rows * s.in) : from_device(dx);
      linear_adjoint(c(), dx, dy, w, write);
      EXPECT_TRUE(close_to(dx, ref::linear_adjoint(start, from_device(dy), from_device(w), s.in, s.out)));
    }
  }
}

TEST_P(MatmulCuda, WeightGradMatchesReference) {
  for (const Sizes& s : kSizes) {
    SCOPED_TRACE(trace(s));
    const Tensor dy = random({s.rows, s.out}, 1), x = random({s.rows, s.in}, 2);
    Tensor dw = random({s.out, s.in}, 3, 1.0F, DType::f32);
    const Doubles start = from_device(dw);
    linear_weight_grad(c(), dw, dy, x);
    EXPECT_TRUE(close(from_device(dw),
                      ref::linear_weight_grad(start, from_device(dy), from_device(x), s.in, s.out),
                      kernel_tolerance(DType::f32)));
  }
}

// <W x, y> = <x, Wᵀ y>, both sides rounded to the type once.
TEST_P(MatmulCuda, AdjointIsTheAdjoint) {
  const Tensor x = random({40, 48}, 1), w = random({72, 48}, 2), y = random({40, 72}, 3);
  Tensor wx = garbage({40, 72}), wy = garbage({40, 48});
  linear_forward(c(), wx, x, w, {});
  linear_adjoint(c(), wy, y, w, Write::overwrite);
  double size = 0;
  const Doubles a = from_device(wx), b = from_device(y);
  for (std::size_t i = 0; i < a.size(); ++i) size += std::abs(a[i] * b[i]);
  EXPECT_NEAR(dot(a, b), dot(from_device(x), from_device(wy)), tolerance().rel * size);
}

// Few tiles and a long sum: K is split, and the parts are added in order.
TEST_P(MatmulCuda, SplitSumsMatchReferenceAndRepeat) {
  const Sizes s{16, 1024, 24};
  ASSERT_GT(gemm_splits({s.rows, s.out, s.in}), 1);
  const Tensor x = random({s.rows, s.in}, 1), w = random({s.out, s.in}, 2), bias = random({s.out}, 3);
  Tensor y = garbage({s.rows, s.out}), again = garbage({s.rows, s.out});
  linear_forward(c(), y, x, w, bias);
  EXPECT_TRUE(
      close_to(y, ref::linear_forward(from_device(x), from_device(w), from_device(bias), s.in, s.out)));
  linear_forward(c(), again, x, w, bias);
  EXPECT_EQ(bytes_from_device(y), bytes_from_device(again));

  const Tensor wide = random({1024, 16}, 4), dy = random({1024, 24}, 5);
  Tensor dw = random({24, 16}, 6, 1.0F, DType::f32);
  const Doubles start = from_device(dw);
  linear_weight_grad(c(), dw, dy, wide);
  EXPECT_TRUE(close(from_device(dw),
                    ref::linear_weight_grad(start, from_device(dy), from_device(wide), 16, 24),
                    kernel_tolerance(DType::f32)));
}

TEST_P(MatmulCuda, WeightsOfOtherTypesAreDecoded) {
  const DType other = type() == DType::f16 ? DType::bf16 : DType::f16;
  for (const DType stored : {DType::f32, other}) {
    const Tensor x = random({10, 32}, 1), w = random({24, 32}, 2, 1.0F, stored);
    Tensor y = garbage({10, 24}), dx = random({10, 32}, 3);
    const Doubles rounded = from_device(to_device(w.shape(), from_device(w))), start = from_device(dx);
    linear_forward(c(), y, x, w, {});
    EXPECT_TRUE(close_to(y, ref::linear_forward(from_device(x), rounded, {}, 32, 24)));
    linear_adjoint(c(), dx, y, w, Write::accumulate);
    EXPECT_TRUE(close_to(dx, ref::linear_adjoint(start, from_device(y), rounded, 32, 24)));
  }
}

TEST_P(MatmulCuda, BatchedMatchesReference) {
  struct Case {
    std::int64_t batch, m, n, k;
  };
  for (const Case& s : {Case{1, 1, 1, 1}, Case{3, 5, 7, 6}, Case{3, 24, 72, 40}}) {
    for (const Transpose ta : {Transpose::no, Transpose::yes}) {
      for (const Transpose tb : {Transpose::no, Transpose::yes}) {
        SCOPED_TRACE(join(s.batch, ": ", s.m, "x", s.n, "x", s.k, ", ", int(ta), int(tb)));
        const Tensor a = random(ta == Transpose::no ? Shape{s.batch, s.m, s.k} : Shape{s.batch, s.k, s.m}, 1);
        const Tensor b = random(tb == Transpose::no ? Shape{s.batch, s.k, s.n} : Shape{s.batch, s.n, s.k}, 2);
        Tensor y = garbage({s.batch, s.m, s.n});
        batched_matmul(c(), y, a, ta, b, tb);
        EXPECT_TRUE(close_to(y, ref::batched_matmul(from_device(a), ta == Transpose::yes, from_device(b),
                                                    tb == Transpose::yes, {s.batch, s.m, s.n, s.k})));
      }
    }
  }
}

// Views that begin off a boundary of 16 bytes take the path without alignment.
TEST_P(MatmulCuda, UnalignedViews) {
  const Tensor x = random({8 * 16 + 3}, 1), w = random({24, 16}, 2);
  const Tensor view = x.flat(3, {8, 16});
  Tensor y = garbage({8 * 24 + 1});
  Tensor to = y.flat(1, {8, 24});
  linear_forward(c(), to, view, w, {});
  EXPECT_TRUE(close_to(to, ref::linear_forward(from_device(view), from_device(w), {}, 16, 24)));
}

TEST_P(MatmulCuda, EmptyProducts) {
  Tensor none = garbage({0, 8});
  linear_forward(c(), none, random({0, 16}, 1), random({8, 16}, 2), {});
  Tensor dw = random({8, 16}, 3, 1.0F, DType::f32);
  const Doubles start = from_device(dw);
  linear_weight_grad(c(), dw, none, random({0, 16}, 1));
  EXPECT_EQ(from_device(dw), start);
}

TEST_P(MatmulCuda, WrongArgumentsNameTheOperation) {
  const Tensor x = random({4, 16}, 1), w = random({8, 16}, 2);
  Tensor y = garbage({4, 8}), single = garbage({4, 8}, DType::f32), dw = garbage({8, 16});
  expect_shape_error("linear_forward", [&] { linear_forward(c(), single, x, w, {}); });
  expect_shape_error("linear_forward", [&] {
    linear_forward(c(), single, random({4, 16}, 1, 1.0F, DType::f32), w, {});
  });
  expect_shape_error("linear_adjoint", [&] { linear_adjoint(c(), y, x, w, Write::overwrite); });
  expect_shape_error("linear_weight_grad", [&] { linear_weight_grad(c(), dw, y, x); });
  const Tensor a = random({1, 4, 4}, 1);
  Tensor b = garbage({1, 4, 4}, DType::f32);
  expect_shape_error("batched_matmul", [&] { batched_matmul(c(), b, a, Transpose::no, a, Transpose::no); });
}

// A plan asks for the scratch that a run asks for.
TEST_P(MatmulCuda, PlanReachesTheSamePeak) {
  const auto step = [&](const Context& at, Tensor x, Tensor w) {
    Tensor y = at.empty({16, 24}, "y", type());
    linear_forward(at, y, x, w, {});
  };
  Runtime real(Device::cuda(0), std::size_t{64} << 20, 1), plan(Device::cuda(0).planned());
  for (Runtime* r : {&real, &plan}) {
    const Context at(*r);
    step(at, at.empty({16, 1024}, "x", type()), at.empty({24, 1024}, "w", DType::f32));
  }
  EXPECT_EQ(plan.memory().high_water(), real.memory().high_water());
  EXPECT_GT(plan.memory().at_peak(Account::workspace), 0U);
}

TEST(GemmPlan, SplitsOnlySmallProducts) {
  EXPECT_EQ(gemm_splits({4096, 4096, 4096}), 1);
  EXPECT_EQ(gemm_splits({16384, 320, 320}), 1);
  EXPECT_EQ(gemm_splits({1, 1, 32}), 1);
  EXPECT_GT(gemm_splits({256, 1280, 11520}), 1);
  EXPECT_GT(gemm_splits({16, 4096, 4096}), 1);
  EXPECT_EQ(gemm_partial_floats({4096, 4096, 4096}), 0);
  EXPECT_EQ(gemm_partial_floats({16, 24, 1024, 2}), gemm_splits({16, 24, 1024, 2}) * 16 * 24 * 2);
}

}  // namespace
}  // namespace rankine
