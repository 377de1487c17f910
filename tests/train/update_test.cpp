// The parts of one update: arena, AdamW, schedules, clipping, moving average.
#include <cmath>
#include <numbers>

#include "engine/train/adamw.h"
#include "engine/train/ema.h"
#include "engine/train/facts.h"
#include "engine/train/loss_scale.h"
#include "engine/train/lr_schedule.h"
#include "engine/train/resources.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/optim/optim.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {

using config::LrScheduler;
using testing_support::all_close;
using testing_support::kernel_tolerance;

class UpdateTest : public ::testing::Test {
 protected:
  Runtime runtime_{Device::cpu(), Memory::kUnlimited, 1};
  Context c_{runtime_};
  Param a_{"a", {3, 5}, {1.0, true}, {}, {}};
  Param b_{"b", {4, 5}, {1.0, true}, {}, {}};
  Param bias_{"bias", {7}, {0.5, false}, {}, {}};

  // One step with these inputs and no loss.
  StepState step(AdamW& adamw, ParamArena& arena, const StepState& inputs, Ema* ema = nullptr) {
    Tensor state = make_step_state(c_, inputs);
    adamw.step(c_, arena, state, {}, ema);
    return read_step_state(c_, state);
  }
  void fill_random(Tensor& t, std::uint32_t id, float scale) {
    HostRandom random({99, purpose("update-test"), 0, id});
    for (float& v : t.span<float>()) v = scale * (2 * random.uniform() - 1);
  }
};

TEST(LossScaleTest, OverflowsHalveItAndManyCleanStepsDoubleIt) {
  LossScale scale(DType::f16);
  EXPECT_EQ(scale.value(), 65536);
  EXPECT_TRUE(scale.update(false));
  EXPECT_EQ(scale.value(), 32768);
  for (int i = 1; i < LossScale::kCleanSteps; ++i) EXPECT_FALSE(scale.update(true));
  EXPECT_EQ(scale.value(), 32768);
  LossScale resumed(DType::f16);
  resumed.restore(scale.value(), scale.clean_steps());
  for (LossScale* s : {&scale, &resumed}) {
    EXPECT_FALSE(s->update(true));
    EXPECT_EQ(s->value(), 65536);
    EXPECT_EQ(s->clean_steps(), 0);
  }
  scale.update(true);
  scale.update(false);  // begins the count again
  EXPECT_EQ(scale.clean_steps(), 0);
  for (int i = 0; i < 15; ++i) EXPECT_TRUE(scale.update(false));
  EXPECT_EQ(scale.value(), 1);
  EXPECT_FALSE(scale.update(false));  // now it is not the scale's fault
  EXPECT_EQ(scale.value(), 1);
}

TEST(LossScaleTest, OnlyFp16HasOne) {
  for (const DType t : {DType::f32, DType::bf16}) {
    LossScale scale(t);
    EXPECT_EQ(scale.value(), 1);
    EXPECT_FALSE(scale.update(false));
    for (int i = 0; i < LossScale::kCleanSteps; ++i) scale.update(true);
    EXPECT_EQ(scale.value(), 1);
  }
}

TEST_F(UpdateTest, TheLossScaleLeavesNormAndUpdateAsTheyAre) {
  ParamArena arena(c_, {&a_});
  fill_random(arena.value(), 1, 1.0F);
  fill_random(arena.grad(), 8, 3.0F);
  const std::vector<float> start(arena.value().span<float>().begin(), arena.value().span<float>().end());
  std::vector<double> norms;
  std::vector<std::vector<double>> values;
  for (const float loss_scale : {1.0F, 1024.0F}) {
    std::copy(start.begin(), start.end(), arena.value().data<float>());
    scale(c_, arena.grad(), arena.grad(), loss_scale);
    AdamW adamw(c_, arena, {});
    const StepState s = step(adamw, arena, {.lr = 1e-2F, .grad_scale = 1 / loss_scale, .max_norm = 0.5F});
    EXPECT_LT(s.factor * loss_scale, 1);
    norms.push_back(s.norm);
    values.push_back(testing_support::to_double(arena.value()));
  }
  EXPECT_EQ(norms[0], norms[1]);
  EXPECT_EQ(values[0], values[1]);
}

TEST_F(UpdateTest, ArenaPlacesParametersWithoutGaps) {
  ParamArena arena(c_, {&a_, &b_, &bias_});
  EXPECT_EQ(arena.numel(), 15 + 20 + 7);
  EXPECT_EQ(a_.value.data<float>(), arena.value().data<float>());
  EXPECT_EQ(b_.value.data<float>(), a_.value.data<float>() + 15);
  EXPECT_EQ(bias_.grad.data<float>(), b_.grad.data<float>() + 20);
  for (std::int64_t i = 0; i < arena.numel(); ++i) arena.value().data<float>()[i] = static_cast<float>(i);
  const Tensor stacked = arena.value().flat(0, {7, 5});  // neighbours with equal columns are one matrix
  EXPECT_EQ(stacked.data<float>()[3 * 5 + 2], b_.value.data<float>()[2]);
  ASSERT_EQ(arena.ranges().size(), 2U);
  EXPECT_EQ(arena.ranges()[0].end, 35);
  EXPECT_EQ(arena.ranges()[1].group.lr_scale, 0.5);
  EXPECT_EQ(runtime_.memory().held(Account::adapters), 2 * 42 * sizeof(float));
  EXPECT_EQ(arena.layout(), "a [3,5]\nb [4,5]\nbias [7]\n");
}

TEST_F(UpdateTest, ArenaRefusesNothingAndDoubles) {
  EXPECT_THROW(ParamArena(c_, {}), Error);
  Param twin{"a", {2}, {}, {}, {}}, empty{"empty", {0, 4}, {}, {}, {}};
  EXPECT_THROW(ParamArena(c_, {&a_, &twin}), Error);
  EXPECT_THROW(ParamArena(c_, {&a_, &empty}), Error);
}

TEST_F(UpdateTest, AdamWFollowsTheFormulaFor20Steps) {
  const AdamWOptions options{0.9, 0.99, 1e-8, 0.1};
  ParamArena arena(c_, {&a_, &b_, &bias_});
  fill_random(arena.value(), 0, 1.0F);
  AdamW adamw(c_, arena, options);
  StepState state;
  std::vector<double> value = testing_support::to_double(arena.value()), m(42, 0.0), v(42, 0.0);
  for (int t = 1; t <= 20; ++t) {
    fill_random(arena.grad(), static_cast<std::uint32_t>(t), 0.3F);
    const double lr = 1e-2 * t, grad_scale = t % 3 ? 1.0 : 0.25;
    for (std::size_t i = 0; i < 42; ++i) {
      const bool in_bias = i >= 35;
      const double g = arena.grad().data<float>()[i] * grad_scale, rate = in_bias ? 0.5 * lr : lr;
      m[i] = 0.9 * m[i] + 0.1 * g;
      v[i] = 0.99 * v[i] + 0.01 * g * g;
      const double mhat = m[i] / (1 - std::pow(0.9, t)), vhat = v[i] / (1 - std::pow(0.99, t));
      value[i] = value[i] * (1 - rate * (in_bias ? 0.0 : 0.1)) - rate * mhat / (std::sqrt(vhat) + 1e-8);
    }
    state.lr = static_cast<float>(lr);
    state.grad_scale = static_cast<float>(grad_scale);
    state = step(adamw, arena, state);
  }
  EXPECT_EQ(state.updates, 20);
  const auto tolerance = kernel_tolerance(DType::f32);
  EXPECT_TRUE(
      all_close(std::as_const(arena.value()).span<float>(), std::span<const double>(value), tolerance));
  EXPECT_TRUE(
      all_close(std::as_const(adamw.state()[0].tensor).span<float>(), std::span<const double>(m), tolerance));
  EXPECT_TRUE(
      all_close(std::as_const(adamw.state()[1].tensor).span<float>(), std::span<const double>(v), tolerance));
}

TEST_F(UpdateTest, AdamWChecksItsOptions) {
  ParamArena arena(c_, {&a_});
  EXPECT_THROW(AdamW(c_, arena, {1.0, 0.999, 1e-8, 0}), ConfigError);
  EXPECT_THROW(AdamW(c_, arena, {0.9, -0.1, 1e-8, 0}), ConfigError);
  EXPECT_THROW(AdamW(c_, arena, {0.9, 0.999, 0, 0}), ConfigError);
  EXPECT_THROW(AdamW(c_, arena, {0.9, 0.999, 1e-8, -1}), ConfigError);
}

TEST_F(UpdateTest, ClippingScalesToTheNormAndSeesWhatIsNotFinite) {
  ParamArena arena(c_, {&a_, &b_});
  AdamW adamw(c_, arena, {});
  fill(c_, arena.value(), 0.0F);
  fill(c_, arena.grad(), 0.0F);
  a_.grad.data<float>()[4] = 3.0F;
  b_.grad.data<float>()[1] = -4.0F;
  EXPECT_EQ(step(adamw, arena, {.max_norm = 1}).norm, 5);
  EXPECT_NEAR(step(adamw, arena, {.max_norm = 1}).factor, 1.0 / 5.000001, 1e-7);
  EXPECT_EQ(step(adamw, arena, {.max_norm = 6}).factor, 1);
  EXPECT_EQ(step(adamw, arena, {.max_norm = 0}).factor, 1);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    b_.grad.data<float>()[19] = bad;
    const StepState s = step(adamw, arena, {.max_norm = 1});
    EXPECT_FALSE(std::isfinite(s.norm)) << bad;
    EXPECT_EQ(s.found_inf, 1) << bad;
  }
}

TEST_F(UpdateTest, EmaFollowsItsDecayAndSwapsExactly) {
  ParamArena arena(c_, {&a_, &b_});
  fill_random(arena.value(), 0, 1.0F);
  Ema ema(c_, arena, 0.4);
  AdamW adamw(c_, arena, {});
  StepState state;
  fill(c_, arena.grad(), 0.0F);  // the step leaves the values as they are
  std::vector<double> average = testing_support::to_double(arena.value());
  for (int n = 0; n < 12; ++n) {
    fill_random(arena.value(), static_cast<std::uint32_t>(n + 1), 1.0F);
    const double d = std::min(0.4, (1.0 + n) / (10.0 + n));  // the warm-up ends at n = 5
    for (std::size_t i = 0; i < average.size(); ++i) {
      average[i] = d * average[i] + (1 - d) * arena.value().data<float>()[i];
    }
    state = step(adamw, arena, state, &ema);
  }
  EXPECT_TRUE(
      all_close(ema.average().span<float>(), std::span<const double>(average), kernel_tolerance(DType::f32)));
  const auto values = testing_support::to_double(arena.value()),
             averages = testing_support::to_double(ema.average());
  {
    const EmaInPlace in_place(c_, arena, &ema);
    EXPECT_EQ(testing_support::to_double(arena.value()), averages);
    EXPECT_EQ(b_.value.data<float>()[3], static_cast<float>(averages[18]));
  }
  EXPECT_EQ(testing_support::to_double(arena.value()), values);
  EXPECT_EQ(testing_support::to_double(ema.average()), averages);
  EXPECT_THROW(Ema(c_, arena, 1.0), ConfigError);
}

TEST_F(UpdateTest, EmaSwapsArenasLargerThanOneChunk) {
  Param large{"large", {(1 << 18) + 77}, {}, {}, {}};
  ParamArena arena(c_, {&large});
  fill_random(arena.value(), 0, 1.0F);
  Ema ema(c_, arena, 0.5);
  const auto averages = testing_support::to_double(ema.average());
  fill_random(arena.value(), 1, 1.0F);
  const auto values = testing_support::to_double(arena.value());
  ema.swap(c_, arena);
  EXPECT_EQ(testing_support::to_double(arena.value()), averages);
  EXPECT_EQ(testing_support::to_double(ema.average()), values);
}

LrScheduleOptions schedule(LrScheduler kind) {
  LrScheduleOptions o;
  o.kind = kind;
  o.learning_rate = 2e-4;
  o.warmup_steps = 10;
  o.total_steps = 110;
  return o;
}

TEST(LrSchedule, WarmUpIsLinearFromZero) {
  for (const auto kind : {LrScheduler::constant, LrScheduler::linear, LrScheduler::cosine,
                          LrScheduler::cosine_with_restarts, LrScheduler::polynomial}) {
    const LrSchedule s(schedule(kind));
    EXPECT_EQ(s.at(0), 0.0);
    EXPECT_DOUBLE_EQ(s.at(4), 0.8e-4);
    EXPECT_DOUBLE_EQ(s.at(10), 2e-4);
  }
}

TEST(LrSchedule, DecaysByItsFormula) {
  EXPECT_DOUBLE_EQ(LrSchedule(schedule(LrScheduler::constant)).at(1000), 2e-4);
  const LrSchedule linear(schedule(LrScheduler::linear));
  EXPECT_DOUBLE_EQ(linear.at(35), 1.5e-4);
  EXPECT_EQ(linear.at(110), 0.0);
  EXPECT_EQ(linear.at(200), 0.0);
  const LrSchedule cosine(schedule(LrScheduler::cosine));
  EXPECT_DOUBLE_EQ(cosine.at(35), 1e-4 * (1 + std::numbers::sqrt2 / 2));
  EXPECT_NEAR(cosine.at(60), 1e-4, 1e-18);
  EXPECT_NEAR(cosine.at(110), 0.0, 1e-18);
  auto o = schedule(LrScheduler::cosine_with_restarts);
  o.cycles = 2;
  const LrSchedule restarts(o);
  EXPECT_DOUBLE_EQ(restarts.at(60), 2e-4);  // the second cycle starts
  EXPECT_NEAR(restarts.at(35), 1e-4, 1e-18);
  EXPECT_NEAR(restarts.at(85), 1e-4, 1e-18);
  EXPECT_EQ(restarts.at(110), 0.0);
  o = schedule(LrScheduler::polynomial);
  o.power = 2;
  const LrSchedule polynomial(o);
  EXPECT_DOUBLE_EQ(polynomial.at(60), 1e-7 + (2e-4 - 1e-7) * 0.25);
  EXPECT_DOUBLE_EQ(polynomial.at(110), 1e-7);
  EXPECT_DOUBLE_EQ(polynomial.at(111), 1e-7);
}

TEST(LrSchedule, RefusesWhatHasNoMeaning) {
  auto o = schedule(LrScheduler::linear);
  o.warmup_steps = 111;
  EXPECT_THROW(LrSchedule{o}, ConfigError);
  o = schedule(LrScheduler::polynomial);
  o.learning_rate = 1e-7;
  EXPECT_THROW(LrSchedule{o}, ConfigError);
  for (const double rate : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    o = schedule(LrScheduler::constant);
    o.learning_rate = rate;
    EXPECT_THROW(LrSchedule{o}, ConfigError) << rate;
  }
  o = schedule(LrScheduler::cosine_with_restarts);
  o.cycles = 0;
  EXPECT_THROW(LrSchedule{o}, ConfigError);
}

TEST(LrSchedule, NamesWhatChangesIt) {
  EXPECT_EQ(LrSchedule(schedule(LrScheduler::cosine)).describe(), "cosine lr=2e-04 warmup=10 total=110");
  EXPECT_EQ(LrSchedule(schedule(LrScheduler::constant)).describe(), "constant lr=2e-04 warmup=10");
}

TEST(Facts, ListsEveryDifference) {
  const std::string was = "model: a\nrank: 8\nlist: x\nlist: y\ngone: 1\n",
                    now = "model: a\nrank: 16\nlist: x\nlist: z\nnew: 2\n";
  EXPECT_TRUE(differing_facts(was, was).empty());
  const std::vector<std::string> expected = {
      "rank: the checkpoint has 8, this run has 16", "list: the checkpoint has x; y, this run has x; z",
      "new: is only in this run (2)", "gone: is only in the checkpoint (1)"};
  EXPECT_EQ(differing_facts(was, now), expected);
}

TEST(Facts, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(valid_utf8("a \xC3\xA9 \xFF b"), "a \xC3\xA9 \xEF\xBF\xBD b");
}

TEST(Resources, ReadsTheStatusFile) {
  const HostMemory m = parse_host_memory("Name:\tx\nVmHWM:\t   2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n");
  EXPECT_EQ(m.peak, 2048U * 1024);
  EXPECT_EQ(m.rss, 1024U * 1024);
  EXPECT_EQ(parse_host_memory("nothing").peak, 0U);
  const HostMemory here = host_memory();
  EXPECT_GT(here.rss, 0U);
  EXPECT_GT(here.peak, 0U);
}

}  // namespace
}  // namespace rankine
