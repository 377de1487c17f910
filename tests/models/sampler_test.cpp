#include "models/diffusion/sampler.h"

#include <cmath>
#include <functional>

#include "engine/core/error.h"
#include "kernels/elementwise/elementwise.h"
#include "tests/models/diffusion_support.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {

using namespace testing_support;

constexpr SamplerKind kAll[]{SamplerKind::ddim, SamplerKind::euler, SamplerKind::euler_a,
                             SamplerKind::dpmpp_2m};

NoiseSchedule schedule_of(Prediction prediction, bool zero_terminal = false) {
  NoiseScheduleSpec spec;
  spec.prediction = prediction;
  spec.zero_terminal_snr = zero_terminal;
  return NoiseSchedule(spec);
}

class Sampler : public ::testing::Test {
 protected:
  Runtime runtime_{Device::cpu()};
  Context c_{runtime_};

  Tensor copy_of(const Tensor& t) const {
    Tensor y = c_.like(t, "copy");
    copy(c_, y, t);
    return y;
  }
  Tensor run(const NoiseSchedule& schedule, const SampleSpec& spec, const Tensor& noise,
             const GaussianData& data = {}) const {
    return run_sampler(c_, schedule, spec, copy_of(noise), data.network(schedule));
  }
  // Largest distance from the exact probability flow down to the smallest sigma, denoised there as the last
  // step does.
  double flow_error(SamplerKind kind, int steps, bool karras = false) const {
    const NoiseSchedule schedule;
    const GaussianData data;
    const SampleSpec spec = sample_spec(kind, steps, karras);
    const Tensor noise = initial_noise(c_, {2, 8, 8, 4}, spec);
    const Tensor end = run(schedule, spec, noise, data);
    double worst = 0;
    for (std::int64_t i = 0; i < noise.numel(); ++i) {
      const double start = noise.data<float>()[i] * schedule.sigma_max();
      const double last = data.flow(start, schedule.sigma_max(), schedule.sigma_min());
      worst = std::max(worst, std::abs(end.data<float>()[i] - data.denoised(last, schedule.sigma_min())));
    }
    return worst;
  }
};

TEST(SamplerNames, ParseWhatPeopleWrite) {
  for (const SamplerKind kind : kAll)
    for (const bool karras : {false, true}) {
      if (karras && kind == SamplerKind::ddim) continue;
      const SamplerName parsed = parse_sampler(to_string({kind, karras}));
      EXPECT_EQ(parsed.kind, kind);
      EXPECT_EQ(parsed.karras, karras);
    }
  EXPECT_EQ(to_string({SamplerKind::dpmpp_2m, true}), "DPM++ 2M Karras");
  EXPECT_EQ(parse_sampler("euler_a").kind, SamplerKind::euler_a);
  EXPECT_EQ(parse_sampler(" euler_ancestral ").kind, SamplerKind::euler_a);
  EXPECT_EQ(parse_sampler("dpmpp_2m").kind, SamplerKind::dpmpp_2m);
  EXPECT_TRUE(parse_sampler("dpmpp_2m_karras").karras);
  EXPECT_THROW(parse_sampler("DDIM Karras"), ConfigError);
  EXPECT_THROW(parse_sampler("Karras"), ConfigError);
  try {
    parse_sampler("heun");
    FAIL() << "heun was taken";
  } catch (const ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("'heun'; allowed: DDIM, Euler"), std::string::npos)
        << error.what();
  }
}

TEST(SamplerSpacing, OfDdim) {
  const NoiseSchedule plain, zero = schedule_of(Prediction::v, true);
  const std::vector<int> twenty = ddim_timesteps(plain, 20);
  EXPECT_EQ(twenty.front(), 951);
  EXPECT_EQ(twenty[1], 901);
  EXPECT_EQ(twenty.back(), 1);
  EXPECT_EQ(ddim_timesteps(plain, 30), ([] {
              std::vector<int> want;
              for (int i = 29; i >= 0; --i) want.push_back(33 * i + 1);
              return want;
            })());
  EXPECT_EQ(ddim_timesteps(plain, 1000).front(), 999);
  EXPECT_EQ(ddim_timesteps(zero, 4), (std::vector<int>{999, 749, 499, 249}));
}

TEST(SamplerSpacing, OfSigmas) {
  const NoiseSchedule schedule;
  const std::vector<double> even = sampler_sigmas(schedule, 10, false),
                            karras = sampler_sigmas(schedule, 10, true);
  ASSERT_EQ(even.size(), 11U);
  for (int i = 0; i < 10; ++i)
    EXPECT_NEAR(even[static_cast<std::size_t>(i)], schedule.sigma(999 - 111 * i), 1e-9);
  EXPECT_EQ(even.back(), 0);
  EXPECT_NEAR(karras.front(), schedule.sigma_max(), 1e-9);
  EXPECT_NEAR(karras[9], schedule.sigma_min(), 1e-12);
  EXPECT_EQ(karras.back(), 0);
  for (std::size_t i = 2; i < 10; ++i)  // even in sigma^(1/7)
    EXPECT_NEAR(std::pow(karras[i - 2], 1 / 7.0) - 2 * std::pow(karras[i - 1], 1 / 7.0) +
                    std::pow(karras[i], 1 / 7.0),
                0, 1e-12);
  EXPECT_EQ(sampler_sigmas(schedule, 1, false).front(), schedule.sigma_max());
}

TEST(SamplerPlan, RefusesImpossibleSettings) {
  const NoiseSchedule schedule;
  EXPECT_THROW(plan_sampler(schedule, {SamplerKind::euler}, 0), ConfigError);
  EXPECT_THROW(plan_sampler(schedule, {SamplerKind::euler}, 1001), ConfigError);
  EXPECT_THROW(plan_sampler(schedule, {SamplerKind::ddim, true}, 10), ConfigError);
}

// With one possible picture the best network says "that one" at once, and every sampler must end on it.
TEST_F(Sampler, EndsOnTheOnlyPicture) {
  const GaussianData point{0.7, 0};
  for (const bool zero_terminal : {false, true})
    for (const Prediction prediction : {Prediction::epsilon, Prediction::v}) {
      if (zero_terminal && prediction == Prediction::epsilon) continue;
      const NoiseSchedule schedule = schedule_of(prediction, zero_terminal);
      for (const SamplerKind kind : kAll)
        for (const bool karras : {false, true}) {
          if (karras && kind == SamplerKind::ddim) continue;
          const SampleSpec spec = sample_spec(kind, 7, karras);
          const Tensor noise = initial_noise(c_, {2, 3, 3, 4}, spec);
          const Tensor end = run(schedule, spec, noise, point);
          const int first = ddim_timesteps(schedule, 7).front();
          for (std::int64_t i = 0; i < end.numel(); ++i) {
            double want = 0.7;
            if (kind ==
                SamplerKind::ddim) {  // eps stays what it was; DDIM stops at timestep 0 and keeps its noise
              const double eps =
                  (noise.data<float>()[i] - schedule.signal(first) * 0.7) / schedule.noise(first);
              want = schedule.signal(0) * 0.7 + schedule.noise(0) * eps;
            }
            ASSERT_NEAR(end.data<float>()[i], want, 1e-5) << to_string(spec.sampler);
          }
        }
    }
}

TEST_F(Sampler, ConvergesToTheExactFlowAtItsOrder) {
  const double euler = flow_error(SamplerKind::euler, 100), euler_fine = flow_error(SamplerKind::euler, 200);
  EXPECT_NEAR(euler / euler_fine, 2, 0.3) << "first order: half the step, half the error " << euler;
  const double two_m = flow_error(SamplerKind::dpmpp_2m, 20, true),
               fine = flow_error(SamplerKind::dpmpp_2m, 40, true);
  EXPECT_NEAR(two_m / fine, 4, 1) << "second order: half the step, a quarter of the error " << two_m;
  EXPECT_LT(two_m, flow_error(SamplerKind::euler, 20, true) / 3);
}

TEST_F(Sampler, DdimFollowsTheFlowOfItsOwnSpace) {
  const NoiseSchedule schedule;
  const GaussianData data;
  const SampleSpec spec = sample_spec(SamplerKind::ddim, 500);
  const Tensor noise = initial_noise(c_, {1, 8, 8, 4}, spec);
  const Tensor end = run(schedule, spec, noise, data);
  for (std::int64_t i = 0; i < end.numel(); ++i) {
    const double start = noise.data<float>()[i] / schedule.signal(999);
    const double want = schedule.signal(0) * data.flow(start, schedule.sigma(999), schedule.sigma(0));
    ASSERT_NEAR(end.data<float>()[i], want, 0.02);
  }
}

// The network's output is eps in one run and v in the other, of the same mind: the pictures must agree.
TEST_F(Sampler, EpsilonAndVPredictionAgree) {
  const NoiseSchedule eps = schedule_of(Prediction::epsilon), v = schedule_of(Prediction::v);
  for (const SamplerKind kind : kAll) {
    const SampleSpec spec = sample_spec(kind, 12);
    const Tensor noise = initial_noise(c_, {2, 4, 4, 4}, spec);
    const Tensor a = run(eps, spec, noise), b = run(v, spec, noise);
    const double error = relative_l2<float, float>(b.span<float>(), a.span<float>());
    EXPECT_LT(error, kModelRelative) << to_string(spec.sampler);
  }
}

TEST_F(Sampler, AncestralSamplesHaveTheDatasSpread) {
  const NoiseSchedule schedule;
  const GaussianData data;
  const SampleSpec spec = sample_spec(SamplerKind::euler_a, 400);
  const Tensor end = run(schedule, spec, initial_noise(c_, {4, 16, 16, 4}, spec), data);
  double sum = 0, squares = 0;
  for (const float x : end.span<float>()) sum += x, squares += static_cast<double>(x) * x;
  const auto n = static_cast<double>(end.numel());
  const double mean = sum / n, deviation = std::sqrt(squares / n - mean * mean);
  // 4,096 samples: standard errors 0.006 and 0.0044; four of them, and the 400 steps' own error of about 1 %.
  EXPECT_NEAR(mean, data.mean, 0.025);
  EXPECT_NEAR(deviation, data.deviation, 0.022);
}

TEST_F(Sampler, ASampleDoesNotDependOnItsBatch) {
  const NoiseSchedule schedule;
  SampleSpec spec = sample_spec(SamplerKind::euler_a, 9);
  const Tensor both = run(schedule, spec, initial_noise(c_, {3, 4, 4, 4}, spec));
  spec.first_sample = 2;
  const Tensor alone = run(schedule, spec, initial_noise(c_, {1, 4, 4, 4}, spec));
  for (std::int64_t i = 0; i < alone.numel(); ++i)
    EXPECT_EQ(alone.data<float>()[i], both.data<float>()[i + 128]);
  spec.seed += 1;
  const Tensor other = run(schedule, spec, initial_noise(c_, {1, 4, 4, 4}, spec));
  EXPECT_NE(other.data<float>()[0], alone.data<float>()[0]);
}

TEST_F(Sampler, GuidanceMovesAwayFromTheUnconditional) {
  Tensor both = random_tensor(c_, {4, 3, 2}, 5);
  Tensor out = c_.empty({2, 3, 2}, "out");
  combine_guidance(c_, out, both, 7.5);
  for (int i = 0; i < 12; ++i) {
    const double un = both.data<float>()[i], con = both.data<float>()[i + 12];
    EXPECT_NEAR(out.data<float>()[i], un + 7.5 * (con - un), 1e-5);
  }
  const Tensor x = random_tensor(c_, {2, 3, 2}, 6);
  const Denoiser doubled = guided(
      c_,
      [&](const Tensor& twice, float timestep, Tensor& result) {
        EXPECT_EQ(twice.shape(), Shape({4, 3, 2}));
        EXPECT_EQ(timestep, 321);
        for (int i = 0; i < 24; ++i)  // unconditional: x, conditional: 2 x
          result.data<float>()[i] = twice.data<float>()[i] * (i < 12 ? 1.0F : 2.0F);
      },
      3);
  doubled(x, 321, out);
  for (int i = 0; i < 12; ++i) EXPECT_NEAR(out.data<float>()[i], 4 * x.data<float>()[i], 1e-5);
  Tensor wrong = c_.empty({3, 3, 2}, "wrong");
  EXPECT_THROW(combine_guidance(c_, wrong, both, 1), ShapeError);
}

TEST_F(Sampler, RefusesUnusableNoise) {
  const Denoiser never = [](const Tensor&, float, Tensor&) { FAIL(); };
  const SampleSpec spec = sample_spec(SamplerKind::euler, 4);
  EXPECT_THROW(run_sampler(c_, NoiseSchedule(), spec, Tensor(), never), ShapeError);
  EXPECT_THROW(run_sampler(c_, NoiseSchedule(), spec, c_.empty({1, 2, 2, 4}, "half", DType::f16), never),
               ShapeError);
}

TEST_F(Sampler, PlansItsExactPeak) {
  for (const SamplerKind kind : kAll) {
    const SampleSpec spec = sample_spec(kind, 3);
    std::size_t peak[2];
    for (const bool planned : {false, true}) {
      Runtime runtime(planned ? Device::cpu().planned() : Device::cpu());
      const Context c(runtime);
      const NoiseSchedule schedule;
      int calls = 0;
      const Denoiser network = [&](const Tensor& x, float, Tensor& out) { copy(c, out, x), ++calls; };
      run_sampler(c, schedule, spec, initial_noise(c, {1, 4, 4, 4}, spec), network);
      EXPECT_EQ(calls, 3);
      peak[planned] = runtime.memory().high_water();
    }
    EXPECT_EQ(peak[0], peak[1]) << to_string(spec.sampler);
    EXPECT_EQ(peak[0], (kind == SamplerKind::dpmpp_2m ? 5 : 3) * 64 * sizeof(float))
        << to_string(spec.sampler);
  }
}

}  // namespace
}  // namespace rankine
