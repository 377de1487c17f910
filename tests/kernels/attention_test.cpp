// Attention against its scalar meaning in double, that meaning against differences, and what must not change
// a bit.
#include "kernels/attention/attention.h"

#include <limits>

#include "tests/kernels/attention_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class AttentionCases : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionCases, AgreesWithTheReference) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  Pass run(c, GetParam());
  const Oracle want(run, GetParam().size());
  run.forward(c, GetParam().spec());
  EXPECT_TRUE(matches(run.o, want.o)) << "o";
  EXPECT_TRUE(matches(run.lse, want.lse)) << "lse";
  run.backward(c, GetParam().spec());
  EXPECT_TRUE(matches(run.dq, want.dq)) << "dq";
  EXPECT_TRUE(matches(run.dk, want.dk)) << "dk";
  EXPECT_TRUE(matches(run.dv, want.dv)) << "dv";
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, AttentionCases,
    ::testing::Values(Case{1, 1, 1, 1, 1, 1},             // the least there is
                      Case{2, 7, 5, 3, 3, 3},             // odd everything
                      Case{2, 16, 16, 4, 8, 8},           // a tiny U-Net
                      Case{1, 200, 77, 40, 8, 8},         // cross attention of SD 1.5
                      Case{1, 800, 400, 33, 2, 1},        // more than one tile each way, shared keys
                      Case{2, 385, 337, 17, 4, 2},        // tiles with a remainder of one
                      Case{1, 850, 850, 40, 2, 2, true},  // causal across tiles
                      Case{2, 77, 77, 16, 4, 4, true},    // a text encoder
                      Case{1, 13, 390, 24, 6, 2, true},   // causal with a past, grouped queries
                      Case{2, 37, 50, 4, 4, 2},           // narrow heads, shared keys
                      Case{1, 45, 45, 4, 2, 2, true}, Case{3, 9, 70, 8, 2, 2}, Case{1, 19, 60, 8, 4, 1, true},
                      Case{1, 130, 131, 8, 3, 1, true, 0.7F}, Case{1, 40, 41, 160, 2, 2},
                      Case{1, 33, 70, 512, 1, 1}));  // the one head of the VAE

// Every instruction set: vectors, panels and strips of other sizes.
class AttentionTargets : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, AttentionTargets, ::testing::ValuesIn(targets()), target_name);

TEST_P(AttentionTargets, AgreeWithTheReference) {
  for (const Case& p : {Case{2, 61, 77, 40, 4, 2}, Case{1, 45, 190, 23, 2, 1, true},
                        Case{1, 33, 70, 512, 1, 1}, Case{1, 130, 131, 16, 2, 2, true, 0.7F}}) {
    SCOPED_TRACE(::testing::PrintToString(p));
    Pass run(c, p);
    const Oracle want(run, p.size());
    run.forward(c, p.spec());
    EXPECT_TRUE(matches(run.o, want.o)) << "o";
    EXPECT_TRUE(matches(run.lse, want.lse)) << "lse";
    run.backward(c, p.spec());
    EXPECT_TRUE(matches(run.dq, want.dq)) << "dq";
    EXPECT_TRUE(matches(run.dk, want.dk)) << "dk";
    EXPECT_TRUE(matches(run.dv, want.dv)) << "dv";
  }
}

TEST_P(AttentionTargets, KeepNaN) {
  for (const std::int64_t width : {8, 40}) {  // narrow heads and others
    const Case p{1, 25, 40, width, 1, 1};
    Pass run(c, p);
    run.k.data<float>()[17 * width] = std::numeric_limits<float>::quiet_NaN();
    run.forward(c, p.spec());
    for (const float x : run.lse.span<float>()) EXPECT_TRUE(std::isnan(x));
    run.backward(c, p.spec());
    for (const float x : run.dv.span<float>()) EXPECT_TRUE(std::isnan(x));
  }
}

class AttentionGradients : public ::testing::TestWithParam<Case> {};

// The reference backward against central differences of the reference forward, all in double.
TEST_P(AttentionGradients, ReferenceMatchesDifferences) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Pass run(c, GetParam());
  const AttentionSize size = GetParam().size();
  Oracle x(run, size);
  const auto check = [&](std::vector<double>& input, const std::vector<double>& grad, const char* name) {
    std::vector<double> numeric;
    for (double& at : input) numeric.push_back(x.slope(size, at));
    EXPECT_TRUE(all_close(std::span<const double>(grad), std::span<const double>(numeric), kGradcheck))
        << name;
  };
  check(x.q, x.dq, "dq");
  check(x.k, x.dk, "dk");
  check(x.v, x.dv, "dv");
}

INSTANTIATE_TEST_SUITE_P(Small, AttentionGradients,
                         ::testing::Values(Case{2, 4, 6, 3, 2, 2}, Case{1, 5, 5, 4, 4, 2, true},
                                           Case{1, 3, 7, 2, 3, 1, true, 1.3F}));

// Scores of +-1024 and a little, exact in fp32: exp would overflow without the running maximum.
TEST(Attention, TakesLargeScores) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case p{1, 140, 350, 5, 2, 2, false, 1.0F};
  Pass run(c, p);
  for (Tensor* t : {&run.q, &run.k}) {
    for (std::int64_t i = 0; i < t->numel(); ++i) {
      float& x = t->data<float>()[i];
      x = i % p.width == 4 ? std::round(8 * x) / 8 : std::copysign(16.0F, x);
    }
  }
  const Oracle want(run, p.size());
  EXPECT_GE(*std::max_element(want.lse.begin(), want.lse.end()), 1024.0);
  EXPECT_LE(*std::min_element(want.lse.begin(), want.lse.end()), 1029.0);
  run.forward(c, p.spec());
  run.backward(c, p.spec());
  EXPECT_TRUE(matches(run.o, want.o)) << "o";
  EXPECT_TRUE(matches(run.lse, want.lse)) << "lse";
  // Backward reads lse as fp32: half a unit in its last place, 2^-14 at 1024, is the relative error of p.
  const Tolerance rounded_lse{1e-5 + 0x1p-14, 1e-5 + 0x1p-14};
  EXPECT_TRUE(matches(run.dq, want.dq, rounded_lse)) << "dq";
  EXPECT_TRUE(matches(run.dk, want.dk, rounded_lse)) << "dk";
  EXPECT_TRUE(matches(run.dv, want.dv, rounded_lse)) << "dv";
}

// Scores that rise along the row raise the running maximum in every tile.
TEST(Attention, RisingMaximaRescaleWhatWasSummed) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  for (const std::int64_t queries : {3, 9}) {  // by rows of keys, and by tiles
    const Case p{1, queries, 1024, 1, 1, 1, false, 1.0F};
    Pass run(c, p);
    for (float& x : run.q.span<float>()) x = 1;
    for (std::int64_t j = 0; j < p.keys; ++j) run.k.data<float>()[j] = static_cast<float>(j) * 0.125F;
    const Oracle want(run, p.size());
    run.forward(c, p.spec());
    EXPECT_TRUE(matches(run.o, want.o));
    EXPECT_TRUE(matches(run.lse, want.lse));
  }
}

// What a masked key holds must not matter, not even infinities in its score.
TEST(Attention, CausalMaskHidesTheFuture) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case p{1, 20, 20, 4, 2, 2, true};
  Pass run(c, p), other(c, p);
  for (std::int64_t i = 0; i < 8; ++i) {
    other.k.data<float>()[19 * 8 + i] = 1e30F;
    other.v.data<float>()[19 * 8 + i] = -7;
  }
  run.forward(c, p.spec());
  other.forward(c, p.spec());
  EXPECT_EQ(std::memcmp(run.o.raw(), other.o.raw(), 19 * 8 * sizeof(float)), 0);
  EXPECT_NE(std::memcmp(run.o.raw(), other.o.raw(), run.o.bytes()), 0);
}

class AttentionBits : public ::testing::TestWithParam<Case> {};

TEST_P(AttentionBits, ThreadsAndRepeatsChangeNothing) {
  const Case p = GetParam();
  Runtime one(Device::cpu(), Memory::kUnlimited, 1);
  const Context c1(one);
  Pass first(c1, p);
  first.forward(c1, p.spec());
  first.backward(c1, p.spec());
  for (const int threads : {1, 2, 3, 7}) {
    Runtime runtime(Device::cpu(), Memory::kUnlimited, threads);
    const Context c(runtime);
    Pass run(c, p);
    for (int repeat = 0; repeat < 2; ++repeat) {
      run.forward(c, p.spec());
      run.backward(c, p.spec());
      EXPECT_TRUE(same_bits(run.o, first.o) && same_bits(run.lse, first.lse)) << threads << " threads";
      EXPECT_TRUE(same_bits(run.dq, first.dq)) << threads << " threads";
      EXPECT_TRUE(same_bits(run.dk, first.dk) && same_bits(run.dv, first.dv)) << threads << " threads";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, AttentionBits,
                         ::testing::Values(Case{2, 400, 350, 24, 6, 3}, Case{1, 500, 510, 40, 4, 2, true},
                                           Case{9, 61, 77, 37, 8, 8}));  // parts of odd size

// The plan reaches the peak and the cost of the real run.
TEST(Attention, PlanForeseesMemoryAndCost) {
  const Case p{2, 500, 500, 40, 8, 8, true};
  const auto measure = [&p](Device device, int threads) {
    Runtime runtime(device, Memory::kUnlimited, threads);
    const Context c(runtime);
    Tensor q = c.empty({p.samples, p.queries, p.heads * p.width}, "q"), k = c.like(q, "k"),
           v = c.like(q, "v");
    Tensor o = c.like(q, "o"), lse = c.empty({p.samples, p.heads, p.queries}, "lse");
    Tensor dq = c.like(q, "dq"), dk = c.like(q, "dk"), dv = c.like(q, "dv"), d_o = c.like(q, "d_o");
    if (!device.plan) {
      for (Tensor* t : {&q, &k, &v, &d_o}) std::fill(t->span<float>().begin(), t->span<float>().end(), 0.1F);
    }
    attention_forward(c, o, lse, q, k, v, p.spec());
    attention_backward(c, {dq, dk, dv}, d_o, {q, k, v, o, lse}, p.spec());
    return std::tuple(runtime.memory().high_water(), runtime.cost().flops(), runtime.cost().bytes());
  };
  const auto planned = measure(Device::cpu().planned(), 3);
  EXPECT_EQ(measure(Device::cpu(), 3), planned);
  const double pairs = 500.0 * 501 / 2;
  EXPECT_DOUBLE_EQ(std::get<1>(planned), (4 + 10) * 40 * pairs * 2 * 8);
}

// Scratch must not grow with the square of the tokens.
TEST(Attention, NeverHoldsTheScores) {
  Runtime runtime(Device::cpu().planned(), Memory::kUnlimited, 8);
  const Context c(runtime);
  constexpr std::int64_t tokens = 1 << 20;
  Tensor q = c.empty({1, tokens, 64}, "q"), k = c.like(q, "k"), v = c.like(q, "v"), o = c.like(q, "o");
  Tensor lse = c.empty({1, 1, tokens}, "lse");
  attention_forward(c, o, lse, q, k, v, {});
  EXPECT_LT(runtime.memory().at_peak(Account::workspace), std::size_t{16} << 20);
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(Attention, RefusesWhatDoesNotFit) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case p{1, 6, 4, 4, 4, 2};
  Pass run(c, p);
  const auto forward = [&](const AttentionSpec& spec) { return message_of([&] { run.forward(c, spec); }); };
  EXPECT_THROW(run.forward(c, {3, 3}), ShapeError);
  EXPECT_NE(forward({3, 3}).find("attention_forward: the 16 channels of q do not split into 3 heads"),
            std::string::npos);
  EXPECT_NE(forward({4, 3}).find("multiple of kv_heads"), std::string::npos);
  EXPECT_NE(forward({4, 4}).find("expected k of shape [1,4,16], got [1,4,8]"), std::string::npos);
  EXPECT_NE(forward({4, 2, true}).find("at least as many keys"), std::string::npos);
  EXPECT_NE(forward({4, 2, false, INFINITY}).find("scale"), std::string::npos);
  run.d_o = c.empty({1, 6, 8}, "short");
  EXPECT_NE(message_of([&] { run.backward(c, p.spec()); }).find("attention_backward: expected d_o of shape"),
            std::string::npos);
}

TEST(Attention, PlansForDevicesThisBuildCannotRun) {
  Runtime runtime(Device::cuda(0).planned());
  const Context c(runtime);
  Tensor q = c.empty({1, 4, 4}, "q"), o = c.like(q, "o"), lse = c.empty({1, 1, 4}, "lse");
  attention_forward(c, o, lse, q, q, q, {});
  EXPECT_DOUBLE_EQ(runtime.cost().flops(), 4 * 4 * 4 * 4);
}

}  // namespace
}  // namespace rankine
