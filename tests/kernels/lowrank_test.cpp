// Adapters as extra columns of the product, against their meaning in double.
#include "kernels/lowrank/lowrank.h"

#include "kernels/elementwise/elementwise.h"
#include "kernels/lowrank/lowrank_ref.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/matmul_ref.h"
#include "kernels/random/random.h"
#include "tests/kernels/products_support.h"

namespace rankine {
namespace {

using namespace testing_support;

constexpr DType kWeightTypes[] = {DType::f32, DType::f16, DType::bf16};

struct Sizes {
  std::int64_t rows, in, out;
};
constexpr Sizes kSizes[] = {{1, 1, 1}, {3, 7, 5}, {14, 32, 32}, {33, 300, 20}, {50, 40, 330}, {300, 24, 36}};

// Ranks of the terms of one product: none, one, and three of different ranks on one middle.
const std::vector<std::int64_t> kRankLists[] = {{}, {1}, {8}, {4, 1, 17}, {64, 3, 128}};

// Terms side by side in one middle of two spare columns.
struct Terms {
  std::vector<LowRankTerm> list;
  std::vector<std::vector<double>> factors;
  std::vector<double> middle;
  std::int64_t width = 2;

  Terms(const Machine& m, std::int64_t rows, const std::vector<std::int64_t>& ranks, bool up,
        std::int64_t features) {
    for (const std::int64_t r : ranks) width += r;
    const Tensor s = m.random({rows, width}, 70);
    middle = to_double(s);
    std::int64_t first = 1;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const Shape shape = up ? Shape{features, ranks[i]} : Shape{ranks[i], features};
      const Tensor factor = m.random(shape, static_cast<std::uint32_t>(80 + i));
      list.push_back({s, first, factor, 0.5F + static_cast<float>(i)});
      factors.push_back(to_double(factor));
      first += ranks[i];
    }
  }
  ref::LowRank<double> ref(std::size_t i, bool up) const {
    const LowRankTerm& t = list[i];
    return {middle, width, t.first, factors[i], t.factor.dim(up ? 1 : 0), t.scale};
  }
};

std::string trace(const Sizes& s, const std::vector<std::int64_t>& ranks) {
  return join(s.rows, "x", s.in, "x", s.out, ", terms: ", ranks.size(), ", last rank ",
              ranks.empty() ? 0 : ranks.back());
}

TEST(LowRank, MiddleIsTheDownProjection) {
  const Machine m;
  const Tensor x = m.random({2, 9, 50}, 1), down = m.random({12, 50}, 2);
  Tensor s = m.garbage({2, 9, 12});
  lowrank_middle(m.c, s, x, down);
  EXPECT_TRUE(matches(s, ref::linear_forward(to_double(x), to_double(down), {}, 50, 12)));
}

TEST(LowRank, ForwardMatchesReference) {
  const Machine m;
  for (const Sizes& s : kSizes) {
    for (const auto& ranks : kRankLists) {
      for (const DType t : kWeightTypes) {
        SCOPED_TRACE(trace(s, ranks));
        const Tensor x = m.random({s.rows, s.in}, 1), w = stored_as(m.c, m.random({s.out, s.in}, 2), t);
        const Tensor bias = t == DType::f16 ? Tensor{} : m.random({s.out}, 3);
        const Terms terms(m, s.rows, ranks, true, s.out);
        Tensor y = m.garbage({s.rows, s.out});
        lowrank_linear_forward(m.c, y, x, w, bias, terms.list);
        auto want = ref::linear_forward(
            to_double(x), decoded(w), bias.defined() ? to_double(bias) : std::vector<double>{}, s.in, s.out);
        for (std::size_t i = 0; i < ranks.size(); ++i)
          want = ref::lowrank_up_add(want, terms.ref(i, true), s.out);
        EXPECT_TRUE(matches(y, want));
      }
    }
  }
}

TEST(LowRank, AdjointMatchesReference) {
  const Machine m;
  for (const Sizes& s : kSizes) {
    for (const auto& ranks : kRankLists) {
      for (const Write write : {Write::overwrite, Write::accumulate}) {
        SCOPED_TRACE(trace(s, ranks));
        const Tensor dy = m.random({s.rows, s.out}, 1),
                     w = stored_as(m.c, m.random({s.out, s.in}, 2), DType::bf16);
        const Terms terms(m, s.rows, ranks, false, s.in);
        Tensor dx = write == Write::overwrite ? m.garbage({s.rows, s.in}) : m.random({s.rows, s.in}, 3);
        std::vector<double> want(static_cast<std::size_t>(dx.numel()));
        if (write == Write::accumulate) want = to_double(dx);
        lowrank_linear_adjoint(m.c, dx, dy, w, terms.list, write);
        want = ref::linear_adjoint(want, to_double(dy), decoded(w), s.in, s.out);
        for (std::size_t i = 0; i < ranks.size(); ++i)
          want = ref::lowrank_down_add(want, terms.ref(i, false), s.in);
        EXPECT_TRUE(matches(dx, want));
      }
    }
  }
}

// The products with a dropout inside are the products of what dropout() makes, to the bit.
TEST(LowRank, DropoutsAreThoseOfTheOperation) {
  const Machine m;
  const SampleDropout drop{{7, purpose("input"), 5, 2}, 0.4F};
  const auto dropped = [&](const Tensor& x, const SampleDropout& d) {
    Tensor y = m.garbage(x.shape());
    for (std::int64_t n = 0; n < x.dim(0); ++n) {
      RandomStream stream = d.stream;
      stream.sample += static_cast<std::uint32_t>(n);
      Tensor sample = y.slice(n, n + 1);
      dropout(m.c, sample, x.slice(n, n + 1), stream, d.p);
    }
    return y;
  };
  const Tensor x = m.random({3, 9, 50}, 1), down = m.random({12, 50}, 2), ds = m.random({3, 9, 12}, 3);
  const Tensor input = dropped(x, drop);
  Tensor s = m.garbage({3, 9, 12}), want = m.garbage({3, 9, 12});
  lowrank_middle(m.c, s, x, down, drop);
  lowrank_middle(m.c, want, input, down);
  EXPECT_TRUE(same_bits(s, want));

  Tensor ddown = m.garbage({12, 50}), want_ddown = m.garbage({12, 50});
  fill(m.c, ddown, 0.5F), fill(m.c, want_ddown, 0.5F);
  lowrank_down_grad(m.c, ddown, ds, x, drop);
  lowrank_down_grad(m.c, want_ddown, ds, input);
  EXPECT_TRUE(same_bits(ddown, want_ddown));

  const MiddleDropout both{drop, {{7, purpose("rank"), 5, 2}, 0.3F}};
  Tensor columns = m.garbage({3, 12});
  fill(m.c, columns, 1);
  columns = dropped(columns, both.column);
  want = dropped(s, drop);
  multiply_per_sample(m.c, want, columns);
  lowrank_drop_middle(m.c, s, both);
  EXPECT_TRUE(same_bits(s, want));

  const Tensor dy = m.random({3, 9, 8}, 4), w = m.random({8, 50}, 5);
  Tensor dx = m.garbage({3, 9, 50}), base = m.garbage({3, 9, 50}), adds = m.garbage({3, 9, 50});
  const LowRankTerm plain{ds, 0, down, 0.5F}, term{ds, 0, down, 1.0F, drop};
  const LowRankTerm terms[] = {term, plain};
  lowrank_linear_adjoint(m.c, dx, dy, w, terms, Write::overwrite);
  lowrank_linear_adjoint(m.c, base, dy, w, {&plain, 1}, Write::overwrite);
  linear_adjoint(m.c, adds, ds, down, Write::overwrite);
  add(m.c, base, base, dropped(adds, drop));
  EXPECT_TRUE(same_bits(dx, base));
}

TEST(LowRank, NoTermsAreThePlainLinear) {
  const Machine m;
  const Tensor x = m.random({30, 70}, 1), w = m.random({50, 70}, 2), bias = m.random({50}, 3);
  Tensor a = m.garbage({30, 50}), b = m.garbage({30, 50});
  lowrank_linear_forward(m.c, a, x, w, bias, {});
  linear_forward(m.c, b, x, w, bias);
  EXPECT_TRUE(same_bits(a, b));
}

TEST(LowRank, ZeroUpChangesNoBit) {
  const Machine m;
  const Tensor x = m.random({30, 320}, 1), w = m.random({50, 320}, 2), s = m.random({30, 8}, 3);
  Tensor a = m.garbage({30, 50}), b = m.garbage({30, 50});
  const LowRankTerm term{s, 0, m.zeros({50, 8}), 1.0F};
  lowrank_linear_forward(m.c, a, x, w, {}, {&term, 1});
  linear_forward(m.c, b, x, w, {});
  EXPECT_TRUE(same_bits(a, b));
}

TEST(LowRank, UpAddMatchesReference) {
  const Machine m;
  for (const auto& ranks : kRankLists) {
    const Terms terms(m, 45, ranks, true, 70);
    Tensor y = m.random({45, 70}, 1);
    std::vector<double> want = to_double(y);
    lowrank_up_add(m.c, y, terms.list);
    for (std::size_t i = 0; i < ranks.size(); ++i) want = ref::lowrank_up_add(want, terms.ref(i, true), 70);
    EXPECT_TRUE(matches(y, want));
  }
}

// The whole adapted map y = W x + s B A x and its adjoint, which shares A between dS and dx.
TEST(LowRank, AdjointIsTheAdjoint) {
  const Machine m;
  const Tensor x = m.random({40, 90}, 1), y = m.random({40, 60}, 2);
  const Tensor w = stored_as(m.c, m.random({60, 90}, 3), DType::f16), down = m.random({8, 90}, 4),
               up = m.random({60, 8}, 5);
  Tensor s = m.garbage({40, 8}), map_x = m.garbage({40, 60});
  lowrank_middle(m.c, s, x, down);
  const LowRankTerm forward{s, 0, up, 0.7F};
  lowrank_linear_forward(m.c, map_x, x, w, {}, {&forward, 1});
  Tensor ds = m.garbage({40, 8}), dup = m.zeros({60, 8}), adjoint_y = m.garbage({40, 90});
  lowrank_up_backward(m.c, {ds, dup}, y, forward);
  const LowRankTerm backward{ds, 0, down, 1.0F};
  lowrank_linear_adjoint(m.c, adjoint_y, y, w, {&backward, 1}, Write::overwrite);
  EXPECT_TRUE(same_inner_product(map_x, y, x, adjoint_y));
}

// One chunk, several chunks and stripes, and a rank and width whose partial sums would be too large for
// stripes.
TEST(LowRank, UpBackwardMatchesReference) {
  const Machine m;
  const Sizes kGradSizes[] = {{1, 0, 1},     {20, 0, 30},  {130, 0, 350},
                              {1000, 0, 40}, {2300, 0, 8}, {130, 0, 4100}};
  for (const Sizes& s : kGradSizes) {
    for (const std::int64_t rank : {1, 8, 19, 128}) {
      if (s.rows * s.out * rank > 20'000'000 && rank != 128) continue;
      SCOPED_TRACE(join(s.rows, "x", s.out, " rank ", rank));
      const Terms terms(m, s.rows, {2, rank}, true, s.out);
      const LowRankTerm& term = terms.list[1];
      const Tensor dy = m.random({s.rows, s.out}, 1);
      Tensor ds = m.random({s.rows, terms.width}, 2), dup = m.random({s.out, rank}, 3);
      std::vector<double> want_ds = to_double(ds), want_dup = to_double(dup);
      ref::lowrank_up_backward(want_ds, want_dup, to_double(dy), terms.ref(1, true));
      lowrank_up_backward(m.c, {ds, dup}, dy, term);
      EXPECT_TRUE(matches(ds, want_ds));
      EXPECT_TRUE(matches(dup, want_dup));
    }
  }
}

TEST(LowRank, DownGradientMatchesReference) {
  const Machine m;
  for (const std::int64_t rank : {1, 8, 33}) {
    const Tensor ds = m.random({2, 350, rank}, 1), x = m.random({2, 350, 45}, 2);
    Tensor ddown = m.random({rank, 45}, 3);
    const std::vector<double> before = to_double(ddown);
    lowrank_down_grad(m.c, ddown, ds, x);
    EXPECT_TRUE(matches(ddown, ref::linear_weight_grad(before, to_double(ds), to_double(x), 45, rank)));
  }
}

TEST(LowRank, GradientsMatchDifferences) {
  const Machine m;
  const std::int64_t rows = 5, in = 6, out = 4, rank = 3;
  const float scale = 1.5F;
  const Tensor x = m.random({rows, in}, 1), down = m.random({rank, in}, 2), up = m.random({out, rank}, 3);
  const Tensor dy = m.random({rows, out}, 4);
  Tensor s = m.garbage({rows, rank}), ds = m.garbage({rows, rank}), dup = m.zeros({out, rank}),
         ddown = m.zeros({rank, in});
  lowrank_middle(m.c, s, x, down);
  lowrank_up_backward(m.c, {ds, dup}, dy, {s, 0, up, scale});
  lowrank_down_grad(m.c, ddown, ds, x);
  const auto loss = [&](const std::vector<double>& a, const std::vector<double>& b) {
    const std::vector<double> middle = ref::linear_forward(to_double(x), a, {}, in, rank);
    const std::vector<double> zero(static_cast<std::size_t>(rows * out));
    return inner(ref::lowrank_up_add(zero, {middle, rank, 0, b, rank, double{scale}}, out), to_double(dy));
  };
  EXPECT_TRUE(matches(
      ddown, central_differences(to_double(down), [&](const auto& v) { return loss(v, to_double(up)); })));
  EXPECT_TRUE(matches(
      dup, central_differences(to_double(up), [&](const auto& v) { return loss(to_double(down), v); })));
}

TEST(LowRank, ThreadsChangeNoBit) {
  std::vector<std::unique_ptr<Machine>> machines;
  std::vector<Tensor> results[4];
  for (const int threads : {1, 2, 3, 5}) {
    const Machine& m = *machines.emplace_back(std::make_unique<Machine>(threads));
    const Tensor x = m.random({700, 90}, 1), dy = m.random({700, 200}, 2), w = m.random({200, 90}, 3);
    const Terms terms(m, 700, {8, 4}, true, 200);
    Tensor y = m.garbage({700, 200}), ds = m.zeros({700, terms.width}), dup = m.zeros({200, 4});
    Tensor ddown = m.zeros({terms.width, 90});
    lowrank_linear_forward(m.c, y, x, w, {}, terms.list);
    lowrank_up_backward(m.c, {ds, dup}, dy, terms.list[1]);
    lowrank_down_grad(m.c, ddown, terms.list[0].middle, x);
    const Tensor all[] = {y, ds, dup, ddown};
    for (int i = 0; i < 4; ++i) {
      results[i].push_back(all[i]);
      EXPECT_TRUE(same_bits(results[i].front(), results[i].back())) << i;
    }
  }
}

TEST(LowRank, WrongShapesAreNamed) {
  const Machine m;
  const Tensor x = m.random({4, 8}, 1), w = m.random({6, 8}, 2), s = m.random({4, 3}, 3),
               up = m.random({6, 2}, 4);
  Tensor y = m.garbage({4, 6}), dx = m.garbage({4, 8}), ds = m.garbage({4, 3}), dup = m.zeros({6, 2});
  const auto forward = [&](const LowRankTerm& t) { lowrank_linear_forward(m.c, y, x, w, {}, {&t, 1}); };
  expect_shape_error("lowrank_linear_forward", [&] { forward({s, 2, up, 1}); });
  expect_shape_error("lowrank_linear_forward", [&] { forward({s, -1, up, 1}); });
  expect_shape_error("lowrank_linear_forward", [&] { forward({m.random({5, 3}, 1), 0, up, 1}); });
  expect_shape_error("lowrank_linear_forward", [&] { forward({s, 0, m.random({7, 2}, 1), 1}); });
  expect_shape_error("lowrank_linear_forward", [&] { forward({s, 0, stored_as(m.c, up, DType::f16), 1}); });
  const LowRankTerm up_term{s, 0, up, 1};
  expect_shape_error("lowrank_linear_adjoint", [&] {
    lowrank_linear_adjoint(m.c, dx, y, w, {&up_term, 1}, Write::overwrite);
  });
  expect_shape_error("lowrank_up_add", [&] { lowrank_up_add(m.c, dx, {&up_term, 1}); });
  expect_shape_error("lowrank_middle", [&] { lowrank_middle(m.c, ds, x, m.random({3, 7}, 1)); });
  expect_shape_error("lowrank_up_backward", [&] { lowrank_up_backward(m.c, {dx, dup}, y, up_term); });
  expect_shape_error("lowrank_up_backward", [&] { lowrank_up_backward(m.c, {ds, dx}, y, up_term); });
  expect_shape_error("lowrank_down_grad", [&] { lowrank_down_grad(m.c, dup, s, x); });
}

TEST(LowRank, PlanAccountsWithoutRunning) {
  const Cost cost = planned_like_real([](const Machine& m) {
    const Tensor x = m.c.empty({400, 20}, "x"), w = m.c.empty({30, 20}, "w"), s = m.c.empty({400, 8}, "s");
    Tensor y = m.c.empty({400, 30}, "y"), ds = m.c.empty({400, 8}, "ds"), dup = m.c.empty({30, 8}, "dup");
    const LowRankTerm term{s, 0, m.c.empty({30, 8}, "up"), 1};
    lowrank_linear_forward(m.c, y, x, w, {}, {&term, 1});
    lowrank_up_backward(m.c, {ds, dup}, y, term);
  });
  EXPECT_EQ(cost.flops, 2.0 * 400 * 30 * (20 + 8) + 4.0 * 400 * 30 * 8);
}

}  // namespace
}  // namespace rankine
