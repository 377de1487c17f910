// lowrank.h on CUDA: adapters as segments of the product, and the one-pass gradients, against the reference
// in double of the rounded operands.
#include "kernels/lowrank/lowrank.h"

#include "kernels/lowrank/lowrank_impl.h"
#include "kernels/lowrank/lowrank_ref.h"
#include "kernels/matmul/gemm_plan.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_ref.h"
#include "tests/kernels/block_support.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

struct Sizes {
  std::int64_t rows, in, out;
};

class LowRankCuda : public OnGpu {
 protected:
  // Terms side by side in one middle, whose columns begin at `first`.
  struct Terms {
    std::vector<LowRankTerm> list;
    std::vector<Doubles> factors;
    Doubles middle;
    std::int64_t width;

    ref::LowRank<double> ref(std::size_t i, bool up) const {
      const LowRankTerm& t = list[i];
      return {middle, width, t.first, factors[i], t.factor.dim(up ? 1 : 0), t.scale};
    }
  };
  Terms terms(std::int64_t rows, const std::vector<std::int64_t>& ranks, std::int64_t first, bool up,
              std::int64_t features) const {
    Terms t;
    t.width = first;
    for (const std::int64_t r : ranks) t.width += r;
    const Tensor s = random({rows, t.width}, 70);
    t.middle = from_device(s);
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const Tensor factor = random(up ? Shape{features, ranks[i]} : Shape{ranks[i], features},
                                   static_cast<std::uint32_t>(80 + i));
      t.list.push_back({s, first, factor, 0.5F + 1.25F * static_cast<float>(i)});
      t.factors.push_back(from_device(factor));
      first += ranks[i];
    }
    return t;
  }
};
INSTANTIATE_TEST_SUITE_P(Types, LowRankCuda, gpu_types(), gpu_case_name);

std::string trace(const Sizes& s, const std::vector<std::int64_t>& ranks, std::int64_t first) {
  return join(s.rows, "x", s.in, "x", s.out, ", ", ranks.size(), " terms from column ", first, ", last rank ",
              ranks.empty() ? 0 : ranks.back());
}

// Sizes with ranks: whole chunks in place, columns or ranks that have to be packed, more terms than segments.
struct Case {
  Sizes sizes;
  std::vector<std::int64_t> ranks;
  std::int64_t first;
};
const std::vector<Case> kCases = {{{1, 1, 1}, {1}, 0},
                                  {{8, 5, 7}, {4, 33}, 1},
                                  {{9, 5, 7}, {4}, 1},
                                  {{2, 24, 19}, {8, 3, 4, 8, 16}, 0},
                                  {{17, 24, 40}, {8}, 8},
                                  {{70, 40, 72}, {16}, 0},
                                  {{17, 24, 40}, {20}, 0},
                                  {{17, 24, 40}, {64}, 0},
                                  {{17, 24, 40}, {16, 8}, 8},
                                  {{17, 24, 40}, {4, 1, 17}, 3},
                                  {{17, 24, 40}, {8, 8, 4, 8, 16}, 0}};

TEST_P(LowRankCuda, MiddleIsTheDownProjection) {
  for (const std::int64_t rank : {1, 4, 16, 48}) {
    for (const Sizes& s : {Sizes{2, 5, 0}, Sizes{140, 40, 0}, Sizes{20, 512, 0}}) {
      SCOPED_TRACE(join(s.rows, "x", s.in, ", rank ", rank));
      const Tensor x = random({s.rows, s.in}, 1), down = random({rank, s.in}, 2);
      Tensor middle = garbage({s.rows, rank});
      lowrank_middle(c(), middle, x, down);
      EXPECT_TRUE(close_to(middle, ref::linear_forward(from_device(x), from_device(down), {}, s.in, rank)));
    }
  }
  EXPECT_GT(gemm_splits({20, 16, 512}), 1);
}

TEST_P(LowRankCuda, ForwardMatchesReference) {
  for (const Case& k : kCases) {
    const Sizes& s = k.sizes;
    SCOPED_TRACE(trace(s, k.ranks, k.first));
    const Tensor x = random({s.rows, s.in}, 1), w = random({s.out, s.in}, 2);
    const Tensor bias = random({s.out}, 3, 1.0F, DType::f32);
    const Terms t = terms(s.rows, k.ranks, k.first, true, s.out);
    Tensor y = garbage({s.rows, s.out});
    lowrank_linear_forward(c(), y, x, w, bias, t.list);
    Doubles want = ref::linear_forward(from_device(x), from_device(w), from_device(bias), s.in, s.out);
    for (std::size_t i = 0; i < k.ranks.size(); ++i) want = ref::lowrank_up_add(want, t.ref(i, true), s.out);
    EXPECT_TRUE(close_to(y, want));
  }
}

TEST_P(LowRankCuda, AdjointMatchesReference) {
  for (const Case& k : kCases) {
    const Sizes& s = k.sizes;
    const bool accumulate = s.rows % 2 == 1;
    SCOPED_TRACE(trace(s, k.ranks, k.first));
    const Tensor dy = random({s.rows, s.out}, 1), w = random({s.out, s.in}, 2);
    const Terms t = terms(s.rows, k.ranks, k.first, false, s.in);
    Tensor dx = accumulate ? random({s.rows, s.in}, 3) : garbage({s.rows, s.in});
    Doubles want = accumulate ? from_device(dx) : Doubles(s.rows * s.in);
    lowrank_linear_adjoint(c(), dx, dy, w, t.list, accumulate ? Write::accumulate : Write::overwrite);
    want = ref::linear_adjoint(want, from_device(dy), from_device(w), s.in, s.out);
    for (std::size_t i = 0; i < k.ranks.size(); ++i)
      want = ref::lowrank_down_add(want, t.ref(i, false), s.in);
    EXPECT_TRUE(close_to(dx, want));
  }
}

// Terms and base share a split K: its borders lie inside the terms.
TEST_P(LowRankCuda, SplitSums) {
  const Sizes s{16, 512, 24};
  ASSERT_GT(gemm_splits({s.rows, s.out, s.in + 192}), 2);
  const Tensor x = random({s.rows, s.in}, 1), w = random({s.out, s.in}, 2);
  const Terms t = terms(s.rows, {128, 64}, 0, true, s.out);
  Tensor y = garbage({s.rows, s.out}), again = garbage({s.rows, s.out});
  lowrank_linear_forward(c(), y, x, w, {}, t.list);
  Doubles want = ref::linear_forward(from_device(x), from_device(w), {}, s.in, s.out);
  for (std::size_t i = 0; i < 2; ++i) want = ref::lowrank_up_add(want, t.ref(i, true), s.out);
  EXPECT_TRUE(close_to(y, want));
  lowrank_linear_forward(c(), again, x, w, {}, t.list);
  EXPECT_EQ(bytes_from_device(y), bytes_from_device(again));
}

TEST_P(LowRankCuda, NoTermsAreThePlainLinear) {
  const Tensor x = random({9, 24}, 1), w = random({40, 24}, 2);
  Tensor a = garbage({9, 40}), b = garbage({9, 40});
  lowrank_linear_forward(c(), a, x, w, {}, {});
  linear_forward(c(), b, x, w, {});
  EXPECT_EQ(bytes_from_device(a), bytes_from_device(b));
}

// The scale multiplies sums in fp32: an up factor of zeros changes no bit, a scale of zero removes the term.
TEST_P(LowRankCuda, ZeroTermsChangeNoBit) {
  const Tensor x = random({9, 24}, 1), w = random({40, 24}, 2), s = random({9, 8}, 3);
  Tensor plain = garbage({9, 40}), zero_up = garbage({9, 40}), zero_scale = garbage({9, 40});
  linear_forward(c(), plain, x, w, {});
  const LowRankTerm no_up{s, 0, to_device({40, 8}, Doubles(320)), 0.3F},
      no_scale{s, 0, random({40, 8}, 4), 0};
  lowrank_linear_forward(c(), zero_up, x, w, {}, {&no_up, 1});
  lowrank_linear_forward(c(), zero_scale, x, w, {}, {&no_scale, 1});
  EXPECT_EQ(bytes_from_device(plain), bytes_from_device(zero_up));
  EXPECT_EQ(bytes_from_device(plain), bytes_from_device(zero_scale));
}

TEST_P(LowRankCuda, UpAddMatchesReference) {
  for (const std::vector<std::int64_t>& ranks : {std::vector<std::int64_t>{16}, {4, 8, 8, 8, 3}}) {
    const Terms t = terms(20, ranks, 0, true, 40);
    Tensor y = random({4, 5, 40}, 1);
    Doubles want = from_device(y);
    lowrank_up_add(c(), y, t.list);
    for (std::size_t i = 0; i < ranks.size(); ++i) want = ref::lowrank_up_add(want, t.ref(i, true), 40);
    EXPECT_TRUE(close_to(y, want));
  }
}

struct UpCase {
  std::int64_t rows, out, rank, first, width;
};
// Every width of the one pass, columns of a wider middle, several ranges and stripes, and the two products.
constexpr UpCase kUpCases[] = {{1, 1, 1, 0, 1},      {3, 7, 4, 1, 6},      {70, 40, 8, 8, 24},
                               {200, 72, 16, 0, 16}, {66, 264, 20, 0, 20}, {40, 136, 64, 0, 64},
                               {33, 24, 72, 8, 80}};

TEST_P(LowRankCuda, UpBackwardMatchesReference) {
  for (const UpCase& k : kUpCases) {
    SCOPED_TRACE(join(k.rows, "x", k.out, ", rank ", k.rank));
    const Tensor dy = random({k.rows, k.out}, 1), s = random({k.rows, k.width}, 2);
    const LowRankTerm term{s, k.first, random({k.out, k.rank}, 3), 0.75F};
    Tensor ds = random({k.rows, k.width}, 4), dup = random({k.out, k.rank}, 5, 1.0F, DType::f32);
    Doubles want_ds = from_device(ds), want_dup = from_device(dup);
    const Doubles middle = from_device(s), factor = from_device(term.factor);
    lowrank_up_backward(c(), {ds, dup}, dy, term);
    ref::lowrank_up_backward<double>(want_ds, want_dup, from_device(dy),
                                     {middle, k.width, k.first, factor, k.rank, 0.75});
    EXPECT_TRUE(close_to(ds, want_ds));
    EXPECT_TRUE(close(from_device(dup), want_dup, kernel_tolerance(DType::f32)));
  }
}

TEST_P(LowRankCuda, UpBackwardRepeats) {
  const Tensor dy = random({140, 264}, 1), s = random({140, 16}, 2);
  const LowRankTerm term{s, 0, random({264, 16}, 3), 0.75F};
  std::vector<std::byte> first_ds, first_dup;
  for (int i = 0; i < 2; ++i) {
    Tensor ds = garbage({140, 16}), dup = random({264, 16}, 5, 1.0F, DType::f32);
    lowrank_up_backward(c(), {ds, dup}, dy, term);
    if (i == 0) {
      first_ds = bytes_from_device(ds);
      first_dup = bytes_from_device(dup);
    } else {
      EXPECT_EQ(bytes_from_device(ds), first_ds);
      EXPECT_EQ(bytes_from_device(dup), first_dup);
    }
  }
}

// A stripe of many tiles of rows, as large products have: the stages of the pipeline are used again.
TEST_P(LowRankCuda, UpBackwardOfLongStripes) {
  const std::int64_t rows = 300, out = 24;
  for (const std::int64_t rank : {16, 32, 64}) {
    const cuda::UpGradPlan plan{rows, out, rank, 1};
    ASSERT_EQ(plan.stripes(), 1);
    const Tensor dy = random({rows, out}, 1), s = random({rows, rank}, 2), up = random({out, rank}, 3);
    Tensor ds = garbage({rows, rank}), dup = random({out, rank}, 4, 1.0F, DType::f32);
    Tensor partial = garbage({plan.floats()}, DType::f32);
    Doubles want_ds(static_cast<std::size_t>(rows * rank)), want_dup = from_device(dup);
    cuda::lowrank_up_backward(c().cuda_stream(), {ds.raw(), dup.data<float>(), dy.raw(), up.raw(), s.raw(),
                                                  type(), rank, 0.75F, plan, partial.data<float>()});
    const Doubles middle = from_device(s), factor = from_device(up);
    ref::lowrank_up_backward<double>(want_ds, want_dup, from_device(dy),
                                     {middle, rank, 0, factor, rank, 0.75});
    EXPECT_TRUE(close_to(ds, want_ds));
    EXPECT_TRUE(close(from_device(dup), want_dup, kernel_tolerance(DType::f32)));
  }
}

TEST_P(LowRankCuda, DownGradMatchesReference) {
  for (const std::int64_t rank : {1, 4, 16, 20, 64}) {
    for (const Sizes& s : {Sizes{3, 5, 0}, Sizes{140, 40, 0}}) {
      SCOPED_TRACE(join(s.rows, "x", s.in, ", rank ", rank));
      const Tensor ds = random({s.rows, rank}, 1), x = random({s.rows, s.in}, 2);
      Tensor ddown = random({rank, s.in}, 3, 1.0F, DType::f32);
      const Doubles start = from_device(ddown);
      lowrank_down_grad(c(), ddown, ds, x);
      EXPECT_TRUE(close(from_device(ddown),
                        ref::linear_weight_grad(start, from_device(ds), from_device(x), s.in, rank),
                        kernel_tolerance(DType::f32)));
    }
  }
}

TEST_P(LowRankCuda, StoredWeightsAreDecoded) {
  const Tensor x = random({9, 24}, 1), w = random({40, 24}, 2, 1.0F, DType::f32);
  const Terms t = terms(9, {8}, 0, true, 40);
  Tensor a = garbage({9, 40}), b = garbage({9, 40});
  lowrank_linear_forward(c(), a, x, w, {}, t.list);
  lowrank_linear_forward(c(), b, x, to_device({40, 24}, from_device(w)), {}, t.list);
  EXPECT_EQ(bytes_from_device(a), bytes_from_device(b));
}

// Few rows with an adapter on a quantised weight: what generating text with an adapter is made of.
TEST_P(LowRankCuda, FewRowsOfAQuantisedWeight) {
  constexpr std::int64_t kIn = 288, kOut = 19;
  const Tensor w = random_blocks(host_.c, {kOut, kIn}, DType::q4_0, 3), on_device = raw_to_device(w);
  const Doubles plain = to_double(decoded_blocks(host_.c, w));
  const Terms t = terms(8, {16, 4, 40}, 3, true, kOut);
  const Tensor x = random({8, kIn}, 4);
  Tensor all = garbage({8, kOut});
  lowrank_linear_forward(c(), all, x, on_device, {}, t.list);
  Doubles want = ref::linear_forward(from_device(x), plain, {}, kIn, kOut);
  for (std::size_t i = 0; i < 3; ++i) want = ref::lowrank_up_add(want, t.ref(i, true), kOut);
  EXPECT_TRUE(close_to(all, want));
  const std::vector<std::byte> bytes = bytes_from_device(all);
  for (const std::int64_t rows : {1, 3}) {  // the last ones: the same bits beside others and alone
    std::vector<LowRankTerm> list = t.list;
    for (LowRankTerm& term : list) term.middle = term.middle.slice(8 - rows, 8);
    Tensor y = garbage({rows, kOut});
    lowrank_linear_forward(c(), y, x.slice(8 - rows, 8), on_device, {}, list);
    const std::vector<std::byte> part = bytes_from_device(y);
    EXPECT_EQ(std::memcmp(part.data(), bytes.data() + bytes.size() - part.size(), part.size()), 0) << rows;
  }
  expect_forecast([&](const Context& at) {
    const Tensor few = at.empty({4, kIn}, "x", type()), weight = at.empty({kOut, kIn}, "w", DType::q4_0);
    const LowRankTerm term{at.empty({4, 16}, "s", type()), 0, at.empty({kOut, 16}, "up", type()), 0.5F};
    Tensor y = at.empty({4, kOut}, "y", type());
    lowrank_linear_forward(at, y, few, weight, {}, {&term, 1});
    EXPECT_EQ(at.memory().at_peak(Account::workspace), 0U);
  });
}

TEST_P(LowRankCuda, EmptyBatch) {
  const Tensor none = random({0, 16}, 1), s = random({0, 8}, 2);
  Tensor ds = garbage({0, 8}), dup = random({16, 8}, 3, 1.0F, DType::f32);
  const Doubles start = from_device(dup);
  lowrank_up_backward(c(), {ds, dup}, none, {s, 0, random({16, 8}, 4), 1.0F});
  EXPECT_EQ(from_device(dup), start);
}

TEST_P(LowRankCuda, WrongArgumentsNameTheOperation) {
  const Tensor x = random({4, 16}, 1), w = random({8, 16}, 2), s = random({4, 8}, 3);
  Tensor y = garbage({4, 8}), ds = garbage({4, 8}), wrong = garbage({4, 8}, DType::f32);
  const LowRankTerm outside{s, 4, random({8, 8}, 4), 1.0F},
      single{s, 0, random({8, 8}, 4, 1.0F, DType::f32), 1.0F};
  for (const LowRankTerm& t : {outside, single}) {
    expect_shape_error("lowrank_linear_forward", [&] { lowrank_linear_forward(c(), y, x, w, {}, {&t, 1}); });
    expect_shape_error("lowrank_up_add", [&] { lowrank_up_add(c(), y, {&t, 1}); });
  }
  expect_shape_error("lowrank_middle", [&] { lowrank_middle(c(), wrong, x, random({8, 16}, 1)); });
  Tensor dup = garbage({8, 8});  // of the activations' type: gradients are fp32
  const LowRankTerm term{s, 0, random({8, 8}, 4), 1.0F};
  expect_shape_error("lowrank_up_backward", [&] { lowrank_up_backward(c(), {ds, dup}, y, term); });
  expect_shape_error("lowrank_down_grad", [&] { lowrank_down_grad(c(), wrong, s, x); });
}

TEST_P(LowRankCuda, PlanReachesTheSamePeak) {
  Runtime real(Device::cuda(0), std::size_t{64} << 20, 1), plan(Device::cuda(0).planned());
  for (Runtime* r : {&real, &plan}) {
    const Context at(*r);
    const auto empty = [&](Shape shape, DType t) { return at.empty(shape, "t", t); };
    const Tensor x = empty({17, 512}, type()), w = empty({40, 512}, DType::f32), s = empty({17, 12}, type());
    Tensor y = empty({17, 40}, type()), ds = empty({17, 12}, type()), dup = empty({40, 4}, DType::f32);
    const LowRankTerm term{s, 4, empty({40, 4}, type()), 0.5F};
    lowrank_linear_forward(at, y, x, w, {}, {&term, 1});
    lowrank_up_backward(at, {ds, dup}, y, term);
    Tensor ddown = empty({12, 512}, DType::f32);
    lowrank_down_grad(at, ddown, ds, x);
  }
  EXPECT_EQ(plan.memory().high_water(), real.memory().high_water());
  EXPECT_GT(plan.memory().at_peak(Account::workspace), 0U);
}

}  // namespace
}  // namespace rankine
