#include "models/diffusion/noise_schedule.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace rankine {

namespace {

constexpr double kDebiasedSnrLimit = 1000;

std::vector<double> scaled_linear(const NoiseScheduleSpec& spec) {
  const double first = std::sqrt(spec.beta_start), last = std::sqrt(spec.beta_end);
  std::vector<double> betas(static_cast<std::size_t>(spec.timesteps));
  for (std::size_t t = 0; t < betas.size(); ++t) {
    const double root =
        first + (last - first) * static_cast<double>(t) / static_cast<double>(betas.size() - 1);
    betas[t] = root * root;
  }
  return betas;
}

void rescale_to_zero_terminal(std::vector<double>& alphas_cumprod, std::vector<double>& betas) {
  const double first = std::sqrt(alphas_cumprod.front()), last = std::sqrt(alphas_cumprod.back());
  for (double& abar : alphas_cumprod) {
    const double root = (std::sqrt(abar) - last) * first / (first - last);
    abar = root * root;
  }
  betas[0] = 1 - alphas_cumprod[0];
  for (std::size_t t = 1; t < betas.size(); ++t) betas[t] = 1 - alphas_cumprod[t] / alphas_cumprod[t - 1];
}

}  // namespace

NoiseSchedule::NoiseSchedule(const NoiseScheduleSpec& spec) : spec_(spec) {
  require<ConfigError>(spec.timesteps >= 2, "noise schedule: expected at least 2 timesteps, got ",
                       spec.timesteps);
  require<ConfigError>(0 < spec.beta_start && spec.beta_start <= spec.beta_end && spec.beta_end < 1,
                       "noise schedule: expected 0 < beta_start <= beta_end < 1, got ", spec.beta_start,
                       " and ", spec.beta_end);
  require<ConfigError>(!spec.zero_terminal_snr || spec.prediction == Prediction::v,
                       "noise schedule: zero terminal SNR works with v prediction only");
  betas_ = scaled_linear(spec);
  alphas_cumprod_.reserve(betas_.size());
  double product = 1;
  for (const double beta : betas_) alphas_cumprod_.push_back(product *= 1 - beta);
  if (spec.zero_terminal_snr) rescale_to_zero_terminal(alphas_cumprod_, betas_);
  log_sigmas_.reserve(betas_.size());
  for (const double exact : alphas_cumprod_) {
    const double abar = std::max(exact, kSmallestAlphaCumprod);
    log_sigmas_.push_back(0.5 * (std::log1p(-abar) - std::log(abar)));
  }
}

double NoiseSchedule::signal(int t) const { return std::sqrt(alpha_cumprod(t)); }
double NoiseSchedule::noise(int t) const { return std::sqrt(1 - alpha_cumprod(t)); }
double NoiseSchedule::snr(int t) const { return alpha_cumprod(t) / (1 - alpha_cumprod(t)); }
double NoiseSchedule::sigma(int t) const { return std::exp(log_sigmas_.at(static_cast<std::size_t>(t))); }

double NoiseSchedule::sigma_at(double timestep) const {
  const double t = std::clamp(timestep, 0.0, static_cast<double>(timesteps() - 1));
  const auto below = std::min(static_cast<std::size_t>(t), log_sigmas_.size() - 2);
  const double part = t - static_cast<double>(below);
  return std::exp((1 - part) * log_sigmas_[below] + part * log_sigmas_[below + 1]);
}

double NoiseSchedule::timestep_at(double sigma) const {
  const double log_sigma = std::log(sigma);
  if (!(log_sigma > log_sigmas_.front())) return 0;
  if (log_sigma >= log_sigmas_.back()) return timesteps() - 1;
  const auto above = std::upper_bound(log_sigmas_.begin(), log_sigmas_.end(), log_sigma);
  const double high = *above, low = *(above - 1);
  return static_cast<double>(above - log_sigmas_.begin() - 1) + (log_sigma - low) / (high - low);
}

double loss_weight(const NoiseSchedule& schedule, const LossWeighting& weighting, int timestep) {
  const bool v = schedule.prediction() == Prediction::v;
  const double snr = schedule.snr(timestep);
  switch (weighting.kind) {
    case LossWeight::none:
      return 1;
    case LossWeight::min_snr:
      require<ConfigError>(weighting.gamma > 0, "min-SNR: expected gamma > 0, got ", weighting.gamma);
      return std::min(snr, weighting.gamma) / (v ? snr + 1 : snr);
    case LossWeight::debiased: {
      const double limited = std::min(snr, kDebiasedSnrLimit);
      return v ? 1 / (limited + 1) : 1 / std::sqrt(limited);
    }
  }
  throw std::logic_error("loss_weight: unknown kind");
}

TrainingFactors training_factors(const NoiseSchedule& schedule, const LossWeighting& weighting,
                                 std::span<const int> timesteps) {
  const bool v = schedule.prediction() == Prediction::v;
  TrainingFactors factors;
  for (const int t : timesteps) {
    const double signal = schedule.signal(t), noise = schedule.noise(t);
    factors.signal.push_back(static_cast<float>(signal));
    factors.noise.push_back(static_cast<float>(noise));
    factors.target_x0.push_back(v ? static_cast<float>(-noise) : 0.0F);
    factors.target_eps.push_back(v ? static_cast<float>(signal) : 1.0F);
    factors.weight.push_back(static_cast<float>(loss_weight(schedule, weighting, t)));
  }
  return factors;
}

int draw_timestep(const RandomStream& stream, int begin, int end) {
  require<ConfigError>(0 <= begin && begin < end, "timesteps: expected 0 <= min < max, got [", begin, ", ",
                       end, ")");
  return begin + static_cast<int>(HostRandom(stream).below(static_cast<std::uint32_t>(end - begin)));
}

}  // namespace rankine
