// Attention whose rows see ranges of keys: against its scalar meaning, packed against separate samples, what
// is not read, what it costs.
#include <functional>
#include <limits>

#include "tests/kernels/attention_support.h"

namespace rankine {
namespace {

using namespace testing_support;

KeyRange everything_up_to(std::int64_t, std::int64_t i) { return {0, i + 1}; }

// Any range at all, but one that causal leaves a key of.
RangeOf random_ranges(const Case& p) {
  auto random = std::make_shared<HostRandom>(RandomStream{99, purpose("ranges"), 0, 0});
  return [random, p](std::int64_t, std::int64_t i) -> KeyRange {
    const std::int64_t past = p.causal ? i + 1 + p.keys - p.queries : p.keys;
    const auto below = [&](std::int64_t n) {
      return std::min(n - 1, static_cast<std::int64_t>(random->uniform() * static_cast<float>(n)));
    };
    const std::int64_t begin = below(past);
    return {begin, begin + 1 + below(p.keys - begin)};
  };
}
RangeOf window(std::int64_t width) {
  return [width](std::int64_t, std::int64_t i) -> KeyRange {
    return {std::max<std::int64_t>(0, i + 1 - width), i + 1};
  };
}
RangeOf prefix(std::int64_t length) {
  return [length](std::int64_t n, std::int64_t i) -> KeyRange { return {0, std::max(length + n, i + 1)}; };
}
// Samples of these lengths in a row; rows beyond them are padding.
RangeOf packed(std::vector<std::int64_t> lengths) {
  return [lengths](std::int64_t, std::int64_t i) -> KeyRange {
    std::int64_t begin = 0;
    for (const std::int64_t n : lengths) {
      if (i < begin + n) return {begin, begin + n};
      begin += n;
    }
    return {i, i + 1};
  };
}

struct RangesCase {
  const char* name;
  Case p;
  std::function<RangeOf(const Case&)> make;
};
void PrintTo(const RangesCase& c, std::ostream* out) { *out << c.name; }

const RangesCase kCases[] = {
    {"random", {2, 37, 53, 7, 4, 2}, random_ranges},
    {"random_over_tiles", {1, 300, 700, 33, 2, 1}, random_ranges},
    {"random_causal", {2, 140, 150, 17, 3, 1, true}, random_ranges},
    {"window", {1, 400, 400, 40, 2, 2}, [](const Case&) { return window(70); }},
    {"window_of_two", {1, 130, 130, 5, 1, 1}, [](const Case&) { return window(2); }},
    {"window_over_tiles", {1, 700, 700, 16, 2, 1}, [](const Case&) { return window(500); }},
    {"prefix", {2, 150, 150, 24, 2, 2}, [](const Case&) { return prefix(40); }},
    {"packed_causal",
     {2, 340, 340, 20, 4, 2, true},
     [](const Case&) {
       return packed({1, 5, 130, 37, 9, 140});
     }},
    {"packed_both_ways",
     {1, 340, 340, 20, 2, 1},
     [](const Case&) {
       return packed({200, 3, 137});
     }},
    {"past_and_ranges", {2, 12, 200, 19, 6, 3, true}, random_ranges},
};

class AttentionRanges : public ::testing::TestWithParam<RangesCase> {};
INSTANTIATE_TEST_SUITE_P(Kinds, AttentionRanges, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(AttentionRanges, AgreeWithTheReference) {
  const Case& p = GetParam().p;
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const AttentionSpec spec = with_ranges(p, ranges(c, p, GetParam().make(p)));
  Pass run(c, p);
  AttentionSize size = p.size();
  size.visible = spec.visible.data<std::int32_t>();
  const Oracle want(run, size);
  run.forward(c, spec);
  EXPECT_TRUE(matches(run.o, want.o)) << "o";
  EXPECT_TRUE(matches(run.lse, want.lse)) << "lse";
  run.backward(c, spec);
  EXPECT_TRUE(matches(run.dq, want.dq)) << "dq";
  EXPECT_TRUE(matches(run.dk, want.dk)) << "dk";
  EXPECT_TRUE(matches(run.dv, want.dv)) << "dv";
}

TEST_P(AttentionRanges, ThreadsChangeNoBit) {
  const Case& p = GetParam().p;
  Runtime one(Device::cpu(), Memory::kUnlimited, 1);
  const Context c1(one);
  const AttentionSpec spec = with_ranges(p, ranges(c1, p, GetParam().make(p)));
  Pass first(c1, p);
  first.forward(c1, spec);
  first.backward(c1, spec);
  for (const int threads : {2, 3, 7}) {
    Runtime runtime(Device::cpu(), Memory::kUnlimited, threads);
    const Context c(runtime);
    Pass run(c, p);
    run.forward(c, spec);
    run.backward(c, spec);
    EXPECT_TRUE(same_bits(run.o, first.o) && same_bits(run.lse, first.lse)) << threads << " threads";
    EXPECT_TRUE(same_bits(run.dq, first.dq) && same_bits(run.dk, first.dk) && same_bits(run.dv, first.dv))
        << threads << " threads";
  }
}

// Ranges that say what causal says change nothing, and may be said both ways.
TEST(AttentionRangesMeaning, CausalRangesAreTheCausalMask) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case plain{1, 333, 333, 24, 4, 2}, causal{1, 333, 333, 24, 4, 2, true};
  Pass want(c, causal), said(c, plain), both(c, causal);
  want.forward(c, causal.spec());
  want.backward(c, causal.spec());
  const RangeOf all = [](std::int64_t, std::int64_t) { return KeyRange{0, 333}; };
  const std::pair<Pass*, AttentionSpec> ways[] = {
      {&said, with_ranges(plain, ranges(c, plain, everything_up_to))},
      {&both, with_ranges(causal, ranges(c, causal, all))}};
  for (const auto& [run, spec] : ways) {
    run->forward(c, spec);
    run->backward(c, spec);
    EXPECT_TRUE(same_bits(run->o, want.o) && same_bits(run->lse, want.lse));
    EXPECT_TRUE(same_bits(run->dq, want.dq) && same_bits(run->dk, want.dk) && same_bits(run->dv, want.dv));
  }
}

// Rows [begin, begin + n) of a (1, T, C) tensor, and of lse (1, H, T).
Tensor rows_of(const Context& c, const Tensor& t, std::int64_t begin, std::int64_t n) {
  Tensor out = c.empty({1, n, t.cols()}, "rows");
  std::copy_n(t.data<float>() + begin * t.cols(), n * t.cols(), out.data<float>());
  return out;
}
bool same_rows(const Tensor& whole, std::int64_t begin, const Tensor& part) {
  return std::memcmp(whole.data<float>() + begin * whole.cols(), part.raw(), part.bytes()) == 0;
}

// Each sample alone under a causal mask, and all in one row of tokens: the same bits, forward and backward.
TEST(AttentionRangesMeaning, PackedSamplesAreTheSamplesAlone) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const std::vector<std::int64_t> lengths{1, 5, 130, 37, 350, 64, 8, 128, 129};
  std::int64_t total = 3;  // and padding
  for (const std::int64_t n : lengths) total += n;
  const Case p{1, total, total, 20, 4, 2, true};
  Pass pack(c, p);
  const AttentionSpec spec = with_ranges(p, ranges(c, p, packed(lengths)));
  pack.forward(c, spec);
  pack.backward(c, spec);
  std::int64_t at = 0;
  for (const std::int64_t n : lengths) {
    SCOPED_TRACE(join("sample of ", n));
    const Case alone{1, n, n, 20, 4, 2, true};
    Pass run(c, alone);
    run.q = rows_of(c, pack.q, at, n);
    run.k = rows_of(c, pack.k, at, n);
    run.v = rows_of(c, pack.v, at, n);
    run.d_o = rows_of(c, pack.d_o, at, n);
    run.forward(c, alone.spec());
    run.backward(c, alone.spec());
    EXPECT_TRUE(same_rows(pack.o, at, run.o));
    EXPECT_TRUE(same_rows(pack.dq, at, run.dq));
    EXPECT_TRUE(same_rows(pack.dk, at, run.dk) && same_rows(pack.dv, at, run.dv));
    for (std::int64_t h = 0; h < 4; ++h)
      EXPECT_EQ(std::memcmp(pack.lse.data<float>() + h * total + at, run.lse.data<float>() + h * n,
                            static_cast<std::size_t>(n) * sizeof(float)),
                0);
    at += n;
  }
}

// Keys that no row sees may hold anything, and get no gradient.
TEST(AttentionRangesMeaning, UnseenKeysAreNotRead) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case p{1, 150, 500, 8, 2, 1};
  Pass run(c, p);
  for (std::int64_t j = 0; j < 500; ++j) {
    if (j >= 50 && j < 450) continue;
    for (std::int64_t d = 0; d < 8; ++d) {
      run.k.data<float>()[j * 8 + d] = std::numeric_limits<float>::quiet_NaN();
      run.v.data<float>()[j * 8 + d] = std::numeric_limits<float>::quiet_NaN();
    }
  }
  const AttentionSpec spec = with_ranges(p, ranges(c, p, [](std::int64_t, std::int64_t i) {
                                           return KeyRange{50 + i, 300 + i};
                                         }));
  run.forward(c, spec);
  run.backward(c, spec);
  for (const Tensor* t : {&run.o, &run.lse, &run.dq, &run.dk, &run.dv})
    for (const float x : t->span<float>()) ASSERT_TRUE(std::isfinite(x));
  for (std::int64_t i = 0; i < 50 * 8; ++i) {
    EXPECT_EQ(run.dk.data<float>()[i], 0);
    EXPECT_EQ(run.dv.data<float>()[450 * 8 + i], 0);
  }
}

TEST(AttentionRangesReference, GradientsMatchDifferences) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case p{2, 4, 6, 3, 2, 1};
  const Pass run(c, p);
  const Tensor visible = ranges(c, p, random_ranges(p));
  AttentionSize size = p.size();
  size.visible = visible.data<std::int32_t>();
  Oracle x(run, size);
  for (auto [input, gradient] : {std::pair{&x.q, &x.dq}, {&x.k, &x.dk}, {&x.v, &x.dv}}) {
    std::vector<double> numeric;
    for (double& at : *input) numeric.push_back(x.slope(size, at));
    EXPECT_TRUE(all_close(std::span<const double>(*gradient), std::span<const double>(numeric), kGradcheck));
  }
}

// Runs count the pairs that are seen; a plan, which cannot know them, what causal allows. Memory is foreseen
// exactly.
TEST(AttentionRangesCost, CountsVisiblePairs) {
  const Case p{2, 500, 500, 40, 8, 2, true};
  const auto measure = [&p](Device device) {
    Runtime runtime(device, Memory::kUnlimited, 3);
    const Context c(runtime);
    Tensor visible =
        device.plan ? c.empty({2, 500, 2}, "visible", DType::i32) : ranges(c, p, packed({100, 400}));
    Tensor q = c.empty({2, 500, 320}, "q"), k = c.empty({2, 500, 80}, "k"), v = c.like(k, "v");
    Tensor o = c.like(q, "o"), lse = c.empty({2, 8, 500}, "lse");
    Tensor dq = c.like(q, "dq"), dk = c.like(k, "dk"), dv = c.like(v, "dv"), d_o = c.like(q, "d_o");
    if (!device.plan) {
      for (Tensor* t : {&q, &k, &v, &d_o}) std::fill(t->span<float>().begin(), t->span<float>().end(), 0.1F);
    }
    const AttentionSpec spec = with_ranges(p, visible);
    attention_forward(c, o, lse, q, k, v, spec);
    attention_backward(c, {dq, dk, dv}, d_o, {q, k, v, o, lse}, spec);
    return std::pair(runtime.memory().high_water(), runtime.cost().flops());
  };
  const auto real = measure(Device::cpu()), planned = measure(Device::cpu().planned());
  EXPECT_EQ(real.first, planned.first);
  const double per_pair = (4 + 10) * 40 * 2 * 8;
  EXPECT_DOUBLE_EQ(real.second, per_pair * (100.0 * 101 / 2 + 400.0 * 401 / 2));
  EXPECT_DOUBLE_EQ(planned.second, per_pair * 500.0 * 501 / 2);
}

TEST(AttentionRangesChecks, RefuseWhatHasNoMeaning) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const Case p{2, 6, 9, 4, 2, 2}, causal{2, 6, 9, 4, 2, 2, true};
  Pass run(c, p);
  const auto refused = [&](const Case& how, KeyRange bad, const char* why) {
    const Tensor visible = ranges(c, how, [&](std::int64_t n, std::int64_t i) {
      return n == 1 && i == 4 ? bad : KeyRange{0, 9};
    });
    for (const bool backward : {false, true}) {
      try {
        backward ? run.backward(c, with_ranges(how, visible)) : run.forward(c, with_ranges(how, visible));
        ADD_FAILURE() << "accepted [" << bad.begin << ", " << bad.end << ")";
      } catch (const ShapeError& e) {
        EXPECT_NE(std::string(e.what()).find("row 4 of sample 1"), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(why), std::string::npos) << e.what();
      }
    }
  };
  refused(p, {-1, 3}, "0 <= begin < end <= 9");
  refused(p, {3, 3}, "0 <= begin < end <= 9");
  refused(p, {5, 3}, "0 <= begin < end <= 9");
  refused(p, {3, 10}, "0 <= begin < end <= 9");
  refused(causal, {8, 9}, "behind the causal mask");  // row 4 of 6 sees keys up to 7
  EXPECT_THROW(run.forward(c, with_ranges(p, c.empty({2, 6, 3}, "visible", DType::i32))), ShapeError);
  EXPECT_THROW(run.forward(c, with_ranges(p, c.empty({2, 6, 2}, "visible"))), ShapeError);
}

}  // namespace
}  // namespace rankine
