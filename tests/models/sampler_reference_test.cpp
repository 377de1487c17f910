// run_sampler against the samplers written out step by step as published, in double, with a network that is
// neither linear nor the same at any two timesteps.
#include <cmath>
#include <string>

#include "tests/models/diffusion_support.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {

using namespace testing_support;

double network(double y, double timestep) {
  return std::sin(1.3 * y + 0.002 * timestep) + 0.2 * std::cos(3 * y);
}

// The network as the reference sees it: x_0 from x in sigma space.
double denoise(const NoiseSchedule& schedule, double x, double sigma) {
  const double root = std::sqrt(sigma * sigma + 1);
  const double out = network(x / root, schedule.timestep_at(sigma));
  return schedule.prediction() == Prediction::epsilon ? x - sigma * out
                                                      : x / (root * root) - out * sigma / root;
}

double euler(const NoiseSchedule& schedule, const std::vector<double>& sigmas, double noise) {
  double x = noise * sigmas[0];
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i)
    x += (x - denoise(schedule, x, sigmas[i])) / sigmas[i] * (sigmas[i + 1] - sigmas[i]);
  return x;
}

double euler_ancestral(const NoiseSchedule& schedule, const std::vector<double>& sigmas, double noise,
                       const std::function<double(std::uint32_t)>& fresh) {
  double x = noise * sigmas[0];
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double from2 = sigmas[i] * sigmas[i], to = sigmas[i + 1], to2 = to * to;
    const double up = std::min(to, std::sqrt(to2 * (from2 - to2) / from2)), down = std::sqrt(to2 - up * up);
    x += (x - denoise(schedule, x, sigmas[i])) / sigmas[i] * (down - sigmas[i]);
    if (to > 0) x += up * fresh(static_cast<std::uint32_t>(i));
  }
  return x;
}

double dpmpp_2m(const NoiseSchedule& schedule, const std::vector<double>& sigmas, double noise) {
  double x = noise * sigmas[0], before = 0;
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
    const double clean = denoise(schedule, x, sigmas[i]), t = -std::log(sigmas[i]);
    if (sigmas[i + 1] == 0) return clean;  // (sigma' / sigma) x - expm1(-infinity) D
    const double h = -std::log(sigmas[i + 1]) - t;
    double direction = clean;
    if (i > 0) {
      const double r = (t + std::log(sigmas[i - 1])) / h;
      direction = (1 + 1 / (2 * r)) * clean - 1 / (2 * r) * before;
    }
    x = sigmas[i + 1] / sigmas[i] * x - std::expm1(-h) * direction;
    before = clean;
  }
  return x;
}

double ddim(const NoiseSchedule& schedule, int steps, double noise) {
  double x = noise;
  std::vector<int> timesteps = ddim_timesteps(schedule, steps);
  timesteps.push_back(0);
  for (std::size_t i = 0; i + 1 < timesteps.size(); ++i) {
    const int t = timesteps[i];
    const double a = schedule.alpha_cumprod(t), a_next = schedule.alpha_cumprod(timesteps[i + 1]);
    const double out = network(x, t);
    const bool v = schedule.prediction() == Prediction::v;
    const double clean =
        v ? std::sqrt(a) * x - std::sqrt(1 - a) * out : (x - std::sqrt(1 - a) * out) / std::sqrt(a);
    const double eps = v ? std::sqrt(a) * out + std::sqrt(1 - a) * x : out;
    x = std::sqrt(a_next) * clean + std::sqrt(1 - a_next) * eps;
  }
  return x;
}

// Element `element` of the noise of step `step`.
double fresh_noise(const SampleSpec& spec, std::uint32_t step, std::uint32_t sample, std::uint32_t element) {
  const RandomStream stream{spec.seed, purpose("sampler noise"), step, spec.first_sample + sample};
  return philox::to_normal(philox::generate(stream, element / 4))[element % 4];
}

double reference(const NoiseSchedule& schedule, const SampleSpec& spec, double noise, std::uint32_t index) {
  const std::vector<double> sigmas = sampler_sigmas(schedule, spec.steps, spec.sampler.karras);
  switch (spec.sampler.kind) {
    case SamplerKind::ddim:
      return ddim(schedule, spec.steps, noise);
    case SamplerKind::euler:
      return euler(schedule, sigmas, noise);
    case SamplerKind::euler_a:
      return euler_ancestral(schedule, sigmas, noise, [&](std::uint32_t step) {
        return fresh_noise(spec, step, index / 32, index % 32);
      });
    case SamplerKind::dpmpp_2m:
      return dpmpp_2m(schedule, sigmas, noise);
  }
  return NAN;
}

struct Case {
  SamplerName name;
  Prediction prediction;
  bool zero_terminal;
};

class SamplerReference : public ::testing::TestWithParam<Case> {};

TEST_P(SamplerReference, GivesThePublishedSteps) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  NoiseScheduleSpec setting;
  setting.prediction = GetParam().prediction;
  setting.zero_terminal_snr = GetParam().zero_terminal;
  const NoiseSchedule schedule(setting);
  SampleSpec spec = sample_spec(GetParam().name.kind, 11, GetParam().name.karras);
  spec.first_sample = 3;
  Tensor noise = initial_noise(c, {2, 2, 4, 4}, spec);
  std::vector<double> want;
  for (std::int64_t i = 0; i < noise.numel(); ++i)
    want.push_back(reference(schedule, spec, noise.data<float>()[i], static_cast<std::uint32_t>(i)));
  const Tensor got = run_sampler(c, schedule, spec, noise, [](const Tensor& x, float timestep, Tensor& out) {
    for (std::int64_t i = 0; i < x.numel(); ++i)
      out.data<float>()[i] = static_cast<float>(network(x.data<float>()[i], timestep));
  });
  const double error = relative_l2<float, double>(got.span<float>(), want);
  EXPECT_LT(error, kModelRelative);
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const SamplerName name :
       {SamplerName{SamplerKind::ddim, false}, SamplerName{SamplerKind::euler, false},
        SamplerName{SamplerKind::euler, true}, SamplerName{SamplerKind::euler_a, false},
        SamplerName{SamplerKind::euler_a, true}, SamplerName{SamplerKind::dpmpp_2m, false},
        SamplerName{SamplerKind::dpmpp_2m, true}}) {
    all.push_back({name, Prediction::epsilon, false});
    all.push_back({name, Prediction::v, false});
    all.push_back({name, Prediction::v, true});
  }
  return all;
}

std::string case_name(const ::testing::TestParamInfo<Case>& info) {
  std::string name = to_string(info.param.name) + (info.param.prediction == Prediction::v ? "_v" : "_eps") +
                     (info.param.zero_terminal ? "_zero_terminal" : "");
  for (char& ch : name)
    if (!std::isalnum(static_cast<unsigned char>(ch))) ch = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, SamplerReference, ::testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace rankine
