#include "models/diffusion/noise_schedule.h"

#include <cmath>
#include <set>
#include <stdexcept>

#include "engine/core/error.h"
#include "engine/core/transfer.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {

using namespace testing_support;

NoiseSchedule v_schedule(bool zero_terminal = false) {
  NoiseScheduleSpec spec;
  spec.prediction = Prediction::v;
  spec.zero_terminal_snr = zero_terminal;
  return NoiseSchedule(spec);
}

TEST(NoiseSchedule, HasStableDiffusionsNumbers) {
  const NoiseSchedule schedule;
  EXPECT_EQ(schedule.timesteps(), 1000);
  EXPECT_DOUBLE_EQ(schedule.beta(0), 0.00085);
  EXPECT_NEAR(schedule.beta(999), 0.012, 1e-15);
  EXPECT_NEAR(schedule.alpha_cumprod(0), 0.99915, 1e-12);
  EXPECT_NEAR(schedule.alpha_cumprod(499), 0.277669650, 1e-9);
  EXPECT_NEAR(schedule.alpha_cumprod(999), 0.0046600985, 1e-10);
  EXPECT_NEAR(schedule.sigma_min(), 0.029167158, 1e-9);
  EXPECT_NEAR(schedule.sigma_max(), 14.614641229, 1e-8);
  EXPECT_THROW(schedule.alpha_cumprod(1000), std::out_of_range);
  EXPECT_THROW(schedule.alpha_cumprod(-1), std::out_of_range);
}

TEST(NoiseSchedule, QuantitiesOfATimestepAgree) {
  const NoiseSchedule schedule;
  double product = 1;
  for (int t = 0; t < schedule.timesteps(); ++t) {
    product *= 1 - schedule.beta(t);
    ASSERT_NEAR(schedule.alpha_cumprod(t), product, 1e-14);
    ASSERT_NEAR(std::pow(schedule.signal(t), 2) + std::pow(schedule.noise(t), 2), 1, 1e-14);
    ASSERT_NEAR(schedule.sigma(t), schedule.noise(t) / schedule.signal(t), 1e-12 * schedule.sigma(t));
    ASSERT_NEAR(schedule.snr(t) * std::pow(schedule.sigma(t), 2), 1, 1e-12);
  }
}

TEST(NoiseSchedule, ZeroTerminalKeepsTheStartAndEndsInNoise) {
  const NoiseSchedule plain, schedule = v_schedule(true);
  EXPECT_NEAR(schedule.alpha_cumprod(0), plain.alpha_cumprod(0), 1e-14);
  EXPECT_EQ(schedule.alpha_cumprod(999), 0);
  EXPECT_EQ(schedule.snr(999), 0);
  EXPECT_NEAR(schedule.sigma_max(), 4096, 1e-3);
  double product = 1;
  for (int t = 0; t < 1000; ++t) {
    product *= 1 - schedule.beta(t);
    ASSERT_NEAR(schedule.alpha_cumprod(t), product, 1e-14);
    if (t > 0) {
      ASSERT_LT(schedule.alpha_cumprod(t), schedule.alpha_cumprod(t - 1));
      // A shift and a stretch of sqrt(abar): differences keep their ratio.
      const double ratio =
          (schedule.signal(t - 1) - schedule.signal(t)) / (plain.signal(t - 1) - plain.signal(t));
      const double expected = plain.signal(0) / (plain.signal(0) - plain.signal(999));
      ASSERT_NEAR(ratio, expected, 1e-9);
    }
  }
}

TEST(NoiseSchedule, SigmaAndTimestepAreInverse) {
  for (const NoiseSchedule& schedule : {NoiseSchedule(), v_schedule(true)}) {
    for (double t = 0; t <= 999; t += 0.37) ASSERT_NEAR(schedule.timestep_at(schedule.sigma_at(t)), t, 1e-8);
    EXPECT_NEAR(schedule.sigma_at(500), schedule.sigma(500), 1e-12);
    EXPECT_NEAR(schedule.sigma_at(10.5), std::sqrt(schedule.sigma(10) * schedule.sigma(11)), 1e-12);
    EXPECT_EQ(schedule.timestep_at(0), 0);
    EXPECT_EQ(schedule.timestep_at(1e9), 999);
    EXPECT_EQ(schedule.sigma_at(-5), schedule.sigma(0));
    EXPECT_EQ(schedule.sigma_at(5000), schedule.sigma_at(999));
  }
}

TEST(NoiseSchedule, RefusesImpossibleSettings) {
  NoiseScheduleSpec one_step, falling, zero_eps;
  one_step.timesteps = 1;
  falling.beta_end = 0.0001;
  zero_eps.zero_terminal_snr = true;
  EXPECT_THROW(NoiseSchedule{one_step}, ConfigError);
  EXPECT_THROW(NoiseSchedule{falling}, ConfigError);
  EXPECT_THROW(NoiseSchedule{zero_eps}, ConfigError);
}

TEST(LossWeight, FollowsItsFormulas) {
  const NoiseSchedule eps, v = v_schedule(), zero = v_schedule(true);
  const LossWeighting min_snr{LossWeight::min_snr, 5}, debiased{LossWeight::debiased};
  for (const int t : {0, 1, 100, 400, 700, 999}) {
    const double snr = eps.snr(t);
    EXPECT_EQ(loss_weight(eps, {}, t), 1);
    EXPECT_DOUBLE_EQ(loss_weight(eps, min_snr, t), snr > 5 ? 5 / snr : 1);
    EXPECT_DOUBLE_EQ(loss_weight(v, min_snr, t), (snr > 5 ? 5 : snr) / (snr + 1));
    EXPECT_DOUBLE_EQ(loss_weight(eps, debiased, t), snr > 1000 ? 1 / std::sqrt(1000.0) : 1 / std::sqrt(snr));
    EXPECT_DOUBLE_EQ(loss_weight(v, debiased, t), 1 / (std::min(snr, 1000.0) + 1));
  }
  EXPECT_GT(eps.snr(0), 1000) << "the limit of the debiased weight is reached";
  EXPECT_EQ(loss_weight(zero, min_snr, 999), 0);
  EXPECT_EQ(loss_weight(zero, debiased, 999), 1);
  EXPECT_THROW(loss_weight(eps, {LossWeight::min_snr, 0}, 10), ConfigError);
}

// x_t and the target, made with the kernels, give back x_0 and eps by the published recovery formulas.
TEST(TrainingFactors, RoundTripThroughTheKernels) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const std::vector<int> timesteps{0, 17, 500, 998};
  const Tensor x0 = random_tensor(c, {4, 5, 3, 4}, 1, 2), eps = random_tensor(c, {4, 5, 3, 4}, 2, 2);
  for (const NoiseSchedule& schedule : {NoiseSchedule(), v_schedule(), v_schedule(true)}) {
    const TrainingFactors f = training_factors(schedule, {LossWeight::min_snr, 5}, timesteps);
    Tensor xt = c.like(x0, "x_t"), target = c.like(x0, "target");
    const auto factors = [&](const std::vector<float>& values) {
      Tensor t = c.empty({static_cast<std::int64_t>(values.size())}, "factors");
      set_floats(t, values);
      return t;
    };
    mix_per_sample(c, xt, factors(f.signal), x0, factors(f.noise), eps);
    mix_per_sample(c, target, factors(f.target_x0), x0, factors(f.target_eps), eps);
    std::vector<double> got_x0, got_eps;
    for (std::int64_t i = 0; i < x0.numel(); ++i) {
      const int t = timesteps[static_cast<std::size_t>(i / 60)];
      const double a = schedule.signal(t), b = schedule.noise(t);
      const double x = xt.data<float>()[i], out = target.data<float>()[i];
      const bool v = schedule.prediction() == Prediction::v;
      got_x0.push_back(v ? a * x - b * out : (x - b * out) / a);
      got_eps.push_back(v ? b * x + a * out : out);
    }
    // Dividing by sqrt(abar) (0.07 at t = 998) magnifies the fp32 rounding of x_t.
    EXPECT_TRUE((all_close<double, float>(got_x0, x0.span<float>(), kernel_tolerance(DType::f32))));
    EXPECT_TRUE((all_close<double, float>(got_eps, eps.span<float>(), kernel_tolerance(DType::f32))));
    for (std::size_t n = 0; n < timesteps.size(); ++n)
      EXPECT_EQ(f.weight[n],
                static_cast<float>(loss_weight(schedule, {LossWeight::min_snr, 5}, timesteps[n])));
  }
}

TEST(TrainingFactors, AtAZeroTerminalTheTargetIsTheNegativePicture) {
  const std::vector<int> last{999};
  const TrainingFactors f = training_factors(v_schedule(true), {}, last);
  EXPECT_EQ(f.signal[0], 0);
  EXPECT_EQ(f.noise[0], 1);
  EXPECT_EQ(f.target_x0[0], -1);
  EXPECT_EQ(f.target_eps[0], 0);
}

TEST(DrawTimestep, CoversItsRangeEvenlyAndIsAFunctionOfTheStream) {
  std::vector<int> count(20);
  for (std::uint32_t sample = 0; sample < 20'000; ++sample) {
    const RandomStream stream{5, purpose("timestep"), 3, sample};
    const int t = draw_timestep(stream, 100, 120);
    ASSERT_TRUE(100 <= t && t < 120);
    ASSERT_EQ(t, draw_timestep(stream, 100, 120));
    ++count[static_cast<std::size_t>(t - 100)];
  }
  // 1,000 expected each, standard deviation 31: six of them.
  for (const int n : count) EXPECT_NEAR(n, 1000, 186);
  EXPECT_EQ(draw_timestep({}, 7, 8), 7);
  EXPECT_THROW(draw_timestep({}, 8, 8), ConfigError);
  EXPECT_THROW(draw_timestep({}, -1, 8), ConfigError);
}

}  // namespace
}  // namespace rankine
