// Few queries over many keys, as when text is generated from a cache: against the scalar meaning on every
// instruction set, with caches longer than what is read, and whatever the threads.
#include <limits>

#include "tests/kernels/attention_support.h"

namespace rankine {
namespace {

using namespace testing_support;

constexpr Case kCases[] = {
    {1, 1, 64, 128, 4, 4, true},  {1, 1, 700, 40, 2, 2, true}, {2, 1, 257, 33, 6, 2, true},
    {1, 3, 300, 64, 24, 3, true},  // 24 rows share a key head: more than one pass
    {1, 8, 1000, 17, 4, 1, true}, {1, 8, 513, 5, 9, 3},        {3, 2, 256, 1, 2, 1, false, 0.7F},
    {1, 5, 600, 160, 2, 1, true},
};

class AttentionFewQueries : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, AttentionFewQueries, ::testing::ValuesIn(targets()), target_name);

TEST_P(AttentionFewQueries, AgreeWithTheReference) {
  for (const Case& p : kCases) {
    SCOPED_TRACE(::testing::PrintToString(p));
    ASSERT_TRUE(AttentionFew::takes(p.size()));
    Pass run(c, p);
    const Oracle want(run, p.size());
    run.forward(c, p.spec());
    EXPECT_TRUE(matches(run.o, want.o));
    EXPECT_TRUE(matches(run.lse, want.lse));
    run.backward(c, p.spec());
    EXPECT_TRUE(matches(run.dq, want.dq));
    EXPECT_TRUE(matches(run.dk, want.dk));
  }
}

// A batch whose caches are filled to different lengths, and rows that see nothing of the first or last
// chunks.
TEST_P(AttentionFewQueries, SeeTheirRanges) {
  const Case p{3, 4, 1000, 20, 6, 2};
  const KeyRange seen[3][4] = {{{0, 70}, {0, 71}, {0, 72}, {0, 73}},
                               {{300, 1000}, {0, 1}, {999, 1000}, {255, 257}},
                               {{512, 768}, {513, 767}, {600, 601}, {600, 601}}};
  const AttentionSpec spec =
      with_ranges(p, ranges(c, p, [&](std::int64_t n, std::int64_t i) { return seen[n][i]; }));
  Pass run(c, p);
  for (std::int64_t i = 0; i < run.k.cols(); ++i)
    for (Tensor* t : {&run.k, &run.v})  // of sample 0, a key that nothing sees
      t->data<float>()[500 * run.k.cols() + i] = std::numeric_limits<float>::quiet_NaN();
  AttentionSize size = p.size();
  size.visible = spec.visible.data<std::int32_t>();
  Pass clean(c, p);
  const Oracle want(clean, size);
  run.forward(c, spec);
  EXPECT_TRUE(matches(run.o, want.o));
  EXPECT_TRUE(matches(run.lse, want.lse));
}

TEST_P(AttentionFewQueries, KeepNaN) {
  const Case p{1, 2, 600, 8, 2, 1};
  for (Tensor Pass::*input : {&Pass::q, &Pass::k, &Pass::v}) {
    Pass run(c, p);
    Tensor& t = run.*input;
    for (std::int64_t i = 0; i < 8; ++i) t.data<float>()[i] = std::numeric_limits<float>::quiet_NaN();
    run.forward(c, p.spec());
    EXPECT_TRUE(std::isnan(run.o.data<float>()[0]));
  }
}

// Keys and values may be the first rows of a longer cache.
TEST(AttentionCache, LeadingRowsAreEnough) {
  Cpu cpu;
  const Context& c = cpu.c;
  const Case p{1, 1, 300, 32, 4, 2, true}, longer{1, 1, 512, 32, 4, 2, true};
  Pass cache(c, longer), run(c, p), copy(c, p);
  run.k = cache.k.flat(0, run.k.shape());
  run.v = cache.v.flat(0, run.v.shape());
  std::copy_n(cache.k.data<float>(), copy.k.numel(), copy.k.data<float>());
  std::copy_n(cache.v.data<float>(), copy.v.numel(), copy.v.data<float>());
  run.forward(c, p.spec());
  copy.forward(c, p.spec());
  EXPECT_TRUE(same_bits(run.o, copy.o) && same_bits(run.lse, copy.lse));
}

TEST(AttentionCache, ThreadsChangeNoBit) {
  for (const Case& p : {Case{1, 1, 2000, 64, 4, 1, true}, Case{2, 8, 2500, 24, 6, 2, true}}) {
    expect_same_bits_for_threads([&p](const Context& c) {
      Pass run(c, p);
      run.forward(c, p.spec());
      return run.o;
    });
    expect_same_bits_for_threads([&p](const Context& c) {
      Pass run(c, p);
      run.forward(c, p.spec());
      return run.lse;
    });
  }
}

TEST(AttentionCache, PlanForeseesMemoryAndCost) {
  const auto measure = [](Device device) {
    Runtime runtime(device, Memory::kUnlimited, 3);
    const Context c(runtime);
    Tensor q = c.empty({1, 2, 64}, "q"), k = c.empty({1, 900, 32}, "k"), o = c.like(q, "o"),
           lse = c.empty({1, 4, 2}, "lse");
    if (!device.plan) {
      for (Tensor* t : {&q, &k}) std::fill(t->span<float>().begin(), t->span<float>().end(), 0.1F);
    }
    attention_forward(c, o, lse, q, k, k, {4, 2, true});
    return std::pair(runtime.memory().high_water(), runtime.cost().flops());
  };
  const auto planned = measure(Device::cpu().planned());
  EXPECT_EQ(measure(Device::cpu()), planned);
  EXPECT_DOUBLE_EQ(planned.second, 4.0 * 16 * 4 * (899 + 900));
}

}  // namespace
}  // namespace rankine
