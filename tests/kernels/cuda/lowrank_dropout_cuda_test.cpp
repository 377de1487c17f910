// The dropouts of lowrank.h on CUDA: the masks are those of dropout(), the values those of the product
// without it, in double, of the dropped operands.
#include "kernels/lowrank/lowrank.h"
#include "kernels/lowrank/lowrank_ref.h"
#include "kernels/matmul/gemm_plan.h"
#include "kernels/matmul/matmul_ref.h"
#include "kernels/random/random_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr RandomStream kStream{0x123456789ABCDEFULL, purpose("input dropout"), 41, 3};
constexpr RandomStream kOther{0x123456789ABCDEFULL, purpose("rank dropout"), 41, 3};

// drop(x) of `samples` samples.
Doubles dropped(Doubles x, std::int64_t samples, const SampleDropout& d) {
  const auto each = static_cast<std::int64_t>(x.size()) / samples;
  for (std::int64_t n = 0; n < samples; ++n) {
    RandomStream s = d.stream;
    s.sample += static_cast<std::uint32_t>(n);
    for (std::int64_t i = 0; i < each; ++i) x[n * each + i] = ref::dropout(x[n * each + i], s, i, d.p);
  }
  return x;
}

// Samples of rows; `in` in whole aligned chunks and not.
struct Case {
  std::int64_t samples, rows, in, rank;
};
constexpr Case kCases[] = {{2, 3, 5, 4},    {3, 1, 24, 8},  {2, 37, 40, 16},
                           {1, 70, 72, 48}, {3, 7, 33, 20}, {2, 10, 512, 16}};
std::string trace(const Case& k) {
  return join(k.samples, " samples of ", k.rows, "x", k.in, ", rank ", k.rank);
}

class LowRankDropoutCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, LowRankDropoutCuda, gpu_types(), gpu_case_name);

TEST_P(LowRankDropoutCuda, MiddleOfADroppedInput) {
  for (const Case& k : kCases) {
    SCOPED_TRACE(trace(k));
    const Tensor x = random({k.samples, k.rows, k.in}, 1), down = random({k.rank, k.in}, 2);
    const SampleDropout drop{kStream, 0.3F};
    Tensor s = garbage({k.samples, k.rows, k.rank}), again = garbage(s.shape());
    lowrank_middle(c(), s, x, down, drop);
    lowrank_middle(c(), again, x, down, drop);
    const Doubles input = dropped(from_device(x), k.samples, drop);
    EXPECT_TRUE(close_to(s, ref::linear_forward(input, from_device(down), {}, k.in, k.rank)));
    EXPECT_EQ(bytes_from_device(s), bytes_from_device(again));
  }
  EXPECT_GT(gemm_splits({20, 16, 512}), 1);
}

TEST_P(LowRankDropoutCuda, DownGradOfADroppedInput) {
  for (const Case& k : kCases) {
    SCOPED_TRACE(trace(k));
    const Tensor x = random({k.samples, k.rows, k.in}, 1), ds = random({k.samples, k.rows, k.rank}, 2);
    const SampleDropout drop{kStream, 0.3F};
    Tensor ddown = random({k.rank, k.in}, 3, 1.0F, DType::f32);
    const Doubles start = from_device(ddown), input = dropped(from_device(x), k.samples, drop);
    lowrank_down_grad(c(), ddown, ds, x, drop);
    EXPECT_TRUE(close(from_device(ddown),
                      ref::linear_weight_grad(start, from_device(ds), input, k.in, k.rank),
                      kernel_tolerance(DType::f32)));
  }
}

// A dropped term is rounded on its own: dx has the errors of two roundings, each of a number no larger than
// twice the largest of dx.
TEST_P(LowRankDropoutCuda, AdjointDropsWhatATermAdds) {
  for (const Case& k : kCases) {
    SCOPED_TRACE(trace(k));
    const std::int64_t out = 16, width = k.rank + 8;
    const Tensor dy = random({k.samples, k.rows, out}, 1), w = random({out, k.in}, 2);
    const Tensor ds = random({k.samples, k.rows, width}, 3);
    const LowRankTerm plain{ds, 0, random({8, k.in}, 4), 1.5F};
    const LowRankTerm term{ds, 8, random({k.rank, k.in}, 5), 0.5F, {kStream, 0.3F}};
    const LowRankTerm terms[] = {term, plain};
    Tensor dx = garbage({k.samples, k.rows, k.in});
    lowrank_linear_adjoint(c(), dx, dy, w, terms, Write::overwrite);
    const Doubles middle = from_device(ds), a = from_device(plain.factor), b = from_device(term.factor);
    const Doubles zeros(dx.numel());
    Doubles want = ref::linear_adjoint(zeros, from_device(dy), from_device(w), k.in, out);
    want = ref::lowrank_down_add<double>(want, {middle, width, 0, a, 8, 1.5}, k.in);
    const Doubles adds =
        dropped(ref::lowrank_down_add<double>(zeros, {middle, width, 8, b, k.rank, 0.5}, k.in), k.samples,
                term.dropout);
    for (std::size_t i = 0; i < want.size(); ++i) want[i] += adds[i];
    EXPECT_TRUE(close_to(dx, want));
  }
}

// With one rank per feature and ones in the factors, what is dropped is where the result is zero.
TEST_P(LowRankDropoutCuda, MasksAreThoseOfDropout) {
  for (const std::int64_t n : {24, 21}) {
    Doubles identity(static_cast<std::size_t>(n * n));
    for (std::int64_t i = 0; i < n; ++i) identity[i * n + i] = 1;
    const Tensor ones = to_device({2, n / 2, n}, Doubles(static_cast<std::size_t>(n / 2 * 2 * n), 1.0));
    const Tensor unit = to_device({n, n}, identity);
    for (const float p : {0.1F, 0.5F, 0.999F}) {
      SCOPED_TRACE(join(n, ", p = ", p));
      const SampleDropout drop{kStream, p};
      const Doubles want = dropped(from_device(ones), 2, drop);
      Tensor s = garbage(ones.shape()), dx = to_device(ones.shape(), Doubles(want.size())),
             ddown = to_device({n / 2 * 2, n}, Doubles(want.size()), DType::f32);
      lowrank_middle(c(), s, ones, unit, drop);
      const Tensor rows = ones.reshape({2, n / 2, n});
      const LowRankTerm term{rows, 0, unit, 1.0F, drop};
      const Tensor none = to_device({2, n / 2, 8}, Doubles(static_cast<std::size_t>(n / 2 * 2 * 8)));
      const Tensor w = to_device({8, n}, Doubles(static_cast<std::size_t>(8 * n)));
      lowrank_linear_adjoint(c(), dx, none, w, {&term, 1}, Write::overwrite);
      Doubles pick(static_cast<std::size_t>(n / 2 * 2 * (n / 2 * 2)));
      for (std::int64_t i = 0; i < n / 2 * 2; ++i) pick[i * (n / 2 * 2) + i] = 1;
      lowrank_down_grad(c(), ddown, to_device({2, n / 2, n / 2 * 2}, pick), ones, drop);
      for (const Doubles& got : {from_device(s), from_device(dx), from_device(ddown)}) {
        for (std::size_t i = 0; i < want.size(); ++i) ASSERT_EQ(got[i] == 0, want[i] == 0) << i;
      }
    }
  }
}

TEST_P(LowRankDropoutCuda, MiddlesAreDroppedByElementAndByColumn) {
  const Tensor s = random({3, 7, 12}, 1);
  const Doubles before = from_device(s);
  for (const MiddleDropout& d : {MiddleDropout{{kStream, 0.3F}, {}}, MiddleDropout{{}, {kOther, 0.4F}},
                                 MiddleDropout{{kStream, 0.3F}, {kOther, 0.4F}}, MiddleDropout{}}) {
    Tensor inside = to_device(s.shape(), before);
    lowrank_drop_middle(c(), inside, d);
    Doubles want = d.element.p > 0 ? dropped(before, 3, d.element) : before;
    if (d.column.p > 0) {
      const Doubles columns = dropped(Doubles(3 * 12, 1.0), 3, d.column);
      for (std::size_t i = 0; i < want.size(); ++i) want[i] *= columns[i / 84 * 12 + i % 12];
    }
    EXPECT_TRUE(close_to(inside, want));
    const Doubles got = from_device(inside);
    for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(got[i] == 0, want[i] == 0) << i;
  }
}

TEST_P(LowRankDropoutCuda, NothingDroppedChangesNoBit) {
  const Tensor x = random({2, 9, 24}, 1), down = random({8, 24}, 2);
  Tensor plain = garbage({2, 9, 8}), zero = garbage({2, 9, 8});
  lowrank_middle(c(), plain, x, down);
  lowrank_middle(c(), zero, x, down, {kStream, 0});
  EXPECT_EQ(bytes_from_device(plain), bytes_from_device(zero));
}

TEST_P(LowRankDropoutCuda, EmptyBatch) {
  const Tensor none = random({0, 3, 16}, 1), ds = random({0, 3, 8}, 2), down = random({8, 16}, 3);
  Tensor s = garbage({0, 3, 8}), ddown = random({8, 16}, 4, 1.0F, DType::f32);
  const Doubles start = from_device(ddown);
  const SampleDropout drop{kStream, 0.5F};
  lowrank_middle(c(), s, none, down, drop);
  lowrank_drop_middle(c(), s, {drop, drop});
  lowrank_down_grad(c(), ddown, ds, none, drop);
  EXPECT_EQ(from_device(ddown), start);
}

TEST_P(LowRankDropoutCuda, WrongDropoutsNameTheOperation) {
  const Tensor x = random({4, 16}, 1), w = random({8, 16}, 2), middle = random({4, 8}, 3);
  const Tensor square = random({8, 8}, 4);
  Tensor s = garbage({4, 8}), ddown = random({8, 16}, 5, 1.0F, DType::f32);
  for (const float p : {-0.1F, 1.0F, NAN}) {
    const SampleDropout drop{kStream, p};
    expect_shape_error("lowrank_middle", [&] { lowrank_middle(c(), s, x, w, drop); });
    expect_shape_error("lowrank_down_grad", [&] { lowrank_down_grad(c(), ddown, middle, x, drop); });
    expect_shape_error("lowrank_drop_middle", [&] { lowrank_drop_middle(c(), s, {{}, drop}); });
  }
  const LowRankTerm term{middle, 0, square, 1.0F, {kStream, 0.5F}};
  expect_shape_error("lowrank_linear_forward", [&] { lowrank_linear_forward(c(), s, x, w, {}, {&term, 1}); });
}

// No copy of x and no mask: scratch of the products alone.
TEST_P(LowRankDropoutCuda, AsksForNoMoreMemoryThanPlainProducts) {
  const auto peak = [&](float p) {
    Runtime plan(Device::cuda(0).planned());
    const Context at(plan);
    const SampleDropout drop{kStream, p};
    const Tensor x = at.empty({2, 64, 512}, "x", type()), down = at.empty({16, 512}, "down", type());
    Tensor s = at.empty({2, 64, 16}, "s", type()), ddown = at.empty({16, 512}, "ddown", DType::f32);
    lowrank_middle(at, s, x, down, drop);
    lowrank_drop_middle(at, s, {drop, drop});
    lowrank_down_grad(at, ddown, s, x, drop);
    return plan.memory().high_water();
  };
  EXPECT_EQ(peak(0.5F), peak(0));
  expect_forecast([&](const Context& at) {
    const Tensor dy = at.empty({2, 9, 16}, "dy", type()), w = at.empty({16, 21}, "w", type());
    Tensor dx = at.empty({2, 9, 21}, "dx", type());
    const LowRankTerm t{dy, 0, at.empty({5, 21}, "down", type()), 1.0F, {kStream, 0.5F}};
    lowrank_linear_adjoint(at, dx, dy, w, {&t, 1}, Write::overwrite);
  });
}

}  // namespace
}  // namespace rankine
