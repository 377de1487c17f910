#include "models/diffusion/sampler_plan.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "engine/core/error.h"

namespace rankine {

namespace {

constexpr double kKarrasRho = 7;
constexpr std::string_view kKarras = "karras";

using Alias = std::pair<std::string_view, SamplerKind>;
constexpr std::array<Alias, 12> kAliases{{{"ddim", SamplerKind::ddim},
                                          {"euler", SamplerKind::euler},
                                          {"k euler", SamplerKind::euler},
                                          {"euler a", SamplerKind::euler_a},
                                          {"k euler a", SamplerKind::euler_a},
                                          {"euler ancestral", SamplerKind::euler_a},
                                          {"k euler ancestral", SamplerKind::euler_a},
                                          {"dpm++ 2m", SamplerKind::dpmpp_2m},
                                          {"k dpm++ 2m", SamplerKind::dpmpp_2m},
                                          {"dpmpp 2m", SamplerKind::dpmpp_2m},
                                          {"k dpmpp 2m", SamplerKind::dpmpp_2m},
                                          {"dpmsolver++", SamplerKind::dpmpp_2m}}};

// Lower case; '_' and runs of blanks become one blank; none at the ends.
std::string normalised(std::string_view text) {
  std::string out;
  for (char ch : text) {
    if (ch == '_' || ch == '\t') ch = ' ';
    if (ch == ' ' && (out.empty() || out.back() == ' ')) continue;
    out += ch >= 'A' && ch <= 'Z' ? static_cast<char>(ch - 'A' + 'a') : ch;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// What the network's output says about x_0 in sigma space: x_0 = x_factor x + out_factor out.
void set_denoised(SamplerStep& step, Prediction prediction, double sigma) {
  if (prediction == Prediction::epsilon) {
    step.denoised_x = 1;
    step.denoised_out = -sigma;
  } else {
    step.denoised_x = 1 / (sigma * sigma + 1);
    step.denoised_out = -sigma / std::sqrt(sigma * sigma + 1);
  }
}

SamplerStep sigma_step(const NoiseSchedule& schedule, double sigma) {
  SamplerStep step;
  step.timestep = schedule.timestep_at(sigma);
  step.input_scale = 1 / std::sqrt(sigma * sigma + 1);
  set_denoised(step, schedule.prediction(), sigma);
  return step;
}

// x + (x - x_0) / sigma (next - sigma), with x_0 written out in x and the network's output.
void set_euler(SamplerStep& step, double sigma, double next) {
  const double towards_clean = (sigma - next) / sigma;
  step.keep = next / sigma + towards_clean * step.denoised_x;
  step.direct = towards_clean * step.denoised_out;
}

void set_euler_ancestral(SamplerStep& step, double sigma, double next) {
  const double up = std::min(next, next / sigma * std::sqrt(sigma * sigma - next * next));
  set_euler(step, sigma, std::sqrt(next * next - up * up));
  step.fresh_noise = up;
}

// Second order in lambda = -ln sigma; first order where there is no step before or no noise left.
void set_dpmpp_2m(SamplerStep& step, std::span<const double> sigmas, std::size_t i) {
  const double sigma = sigmas[i], next = sigmas[i + 1];
  step.keep = next / sigma;
  const double gain = 1 - next / sigma;  // -expm1(-h), h = ln(sigma / next)
  if (i == 0 || next == 0) {
    step.denoised = gain;
    return;
  }
  const double ratio = std::log(sigmas[i - 1] / sigma) / std::log(sigma / next);
  step.denoised = gain * (1 + 1 / (2 * ratio));
  step.previous = -gain / (2 * ratio);
}

SamplerPlan plan_sigma_space(const NoiseSchedule& schedule, SamplerName name, int count) {
  const std::vector<double> sigmas = sampler_sigmas(schedule, count, name.karras);
  SamplerPlan plan;
  plan.initial_scale = sigmas.front();
  plan.uses_denoised = name.kind == SamplerKind::dpmpp_2m;
  plan.uses_noise = name.kind == SamplerKind::euler_a;
  for (std::size_t i = 0; i + 1 < sigmas.size(); ++i) {
    SamplerStep step = sigma_step(schedule, sigmas[i]);
    if (name.kind == SamplerKind::euler) set_euler(step, sigmas[i], sigmas[i + 1]);
    if (name.kind == SamplerKind::euler_a) set_euler_ancestral(step, sigmas[i], sigmas[i + 1]);
    if (name.kind == SamplerKind::dpmpp_2m) set_dpmpp_2m(step, sigmas, i);
    plan.steps.push_back(step);
  }
  return plan;
}

// Deterministic DDIM (eta = 0). The clean end is abar of timestep 0, not 1 (set_alpha_to_one = false).
SamplerPlan plan_ddim(const NoiseSchedule& schedule, int count) {
  const std::vector<int> timesteps = ddim_timesteps(schedule, count);
  SamplerPlan plan;
  for (std::size_t i = 0; i < timesteps.size(); ++i) {
    const int t = timesteps[i], next = i + 1 < timesteps.size() ? timesteps[i + 1] : 0;
    const double signal = schedule.signal(t), noise = schedule.noise(t);
    const double next_signal = schedule.signal(next), next_noise = schedule.noise(next);
    SamplerStep step;
    step.timestep = t;
    if (schedule.prediction() == Prediction::epsilon) {
      step.keep = next_signal / signal;
      step.direct = next_noise - next_signal * noise / signal;
    } else {
      step.keep = next_signal * signal + next_noise * noise;
      step.direct = next_noise * signal - next_signal * noise;
    }
    plan.steps.push_back(step);
  }
  return plan;
}

}  // namespace

std::string to_string(SamplerName name) {
  const std::string suffix = name.karras ? " Karras" : "";
  switch (name.kind) {
    case SamplerKind::ddim:
      return "DDIM" + suffix;
    case SamplerKind::euler:
      return "Euler" + suffix;
    case SamplerKind::euler_a:
      return "Euler a" + suffix;
    case SamplerKind::dpmpp_2m:
      return "DPM++ 2M" + suffix;
  }
  throw std::logic_error("to_string: unknown sampler");
}

SamplerName parse_sampler(std::string_view text) {
  std::string name = normalised(text);
  SamplerName result;
  if (name.size() > kKarras.size() && name.ends_with(kKarras)) {
    result.karras = true;
    name = normalised(name.substr(0, name.size() - kKarras.size()));
  }
  const auto* const found =
      std::find_if(kAliases.begin(), kAliases.end(), [&](const Alias& alias) { return alias.first == name; });
  require<ConfigError>(
      found != kAliases.end() && !(result.karras && found->second == SamplerKind::ddim), "unknown sampler '",
      text, "'; allowed: DDIM, Euler, Euler Karras, Euler a, Euler a Karras, DPM++ 2M, DPM++ 2M Karras");
  result.kind = found->second;
  return result;
}

std::vector<double> sampler_sigmas(const NoiseSchedule& schedule, int steps, bool karras) {
  const int last = schedule.timesteps() - 1;
  const double high = std::pow(schedule.sigma_max(), 1 / kKarrasRho);
  const double low = std::pow(schedule.sigma_min(), 1 / kKarrasRho);
  std::vector<double> sigmas;
  for (int i = 0; i < steps; ++i) {
    const double part = steps == 1 ? 0 : static_cast<double>(i) / (steps - 1);
    sigmas.push_back(karras ? std::pow(high + part * (low - high), kKarrasRho)
                            : schedule.sigma_at(last - part * last));
  }
  sigmas.push_back(0);
  return sigmas;
}

std::vector<int> ddim_timesteps(const NoiseSchedule& schedule, int steps) {
  const int count = schedule.timesteps(), last = count - 1;
  std::vector<int> result;
  for (int i = 0; i < steps; ++i) {
    const double trailing = count - static_cast<double>(i) * count / steps;
    result.push_back(schedule.zero_terminal_snr() ? static_cast<int>(std::nearbyint(trailing)) - 1
                                                  : std::min((steps - 1 - i) * (count / steps) + 1, last));
  }
  return result;
}

SamplerPlan plan_sampler(const NoiseSchedule& schedule, SamplerName name, int steps) {
  require<ConfigError>(1 <= steps && steps <= schedule.timesteps(), "sampler steps: expected 1 to ",
                       schedule.timesteps(), ", got ", steps);
  require<ConfigError>(!(name.kind == SamplerKind::ddim && name.karras),
                       "sampler: DDIM has no Karras spacing");
  return name.kind == SamplerKind::ddim ? plan_ddim(schedule, steps)
                                        : plan_sigma_space(schedule, name, steps);
}

}  // namespace rankine
