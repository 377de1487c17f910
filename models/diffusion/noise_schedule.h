// The noise schedule a Stable Diffusion model was trained with, and what training needs of it.
//
//   beta_t  = (sqrt(b0) + (sqrt(b1) - sqrt(b0)) t / (T - 1))^2      "scaled linear", t = 0 .. T-1
//   abar_t  = product over s <= t of (1 - beta_s)
//   x_t     = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps
//   sigma_t = sqrt((1 - abar_t) / abar_t),   SNR_t = abar_t / (1 - abar_t)
//   the network predicts eps, or v = sqrt(abar_t) eps - sqrt(1 - abar_t) x_0
//
// Sources: Ho et al. 2020 (arXiv 2006.11239), Salimans and Ho 2022 (2202.00512), Karras et al. 2022
// (2206.00364), Lin et al. 2023 (2305.08891, zero terminal SNR), Hang et al. 2023 (2303.09556, min-SNR
// weights). Everything here is double precision on the host; tables have one entry per timestep.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/philox.h"

namespace rankine {

enum class Prediction : std::uint8_t { epsilon, v };

struct NoiseScheduleSpec {
  int timesteps = 1000;
  double beta_start = 0.00085;
  double beta_end = 0.012;
  Prediction prediction = Prediction::epsilon;
  // Shift and stretch sqrt(abar) so that the last timestep is pure noise and the first stays as it was. Only
  // with Prediction::v: from pure noise, eps says nothing about x_0.
  bool zero_terminal_snr = false;
};

class NoiseSchedule {
 public:
  // abar of the last timestep as samplers in sigma space see it when it is zero: sigma stays finite (4096).
  static constexpr double kSmallestAlphaCumprod = 0x1p-24;

  // Throws ConfigError unless timesteps >= 2, 0 < beta_start <= beta_end < 1, and zero_terminal_snr comes
  // with v.
  explicit NoiseSchedule(const NoiseScheduleSpec& spec = {});

  int timesteps() const { return static_cast<int>(alphas_cumprod_.size()); }
  Prediction prediction() const { return spec_.prediction; }
  bool zero_terminal_snr() const { return spec_.zero_terminal_snr; }

  // Per timestep; throws std::out_of_range outside [0, timesteps).
  double beta(int t) const { return betas_.at(static_cast<std::size_t>(t)); }
  double alpha_cumprod(int t) const { return alphas_cumprod_.at(static_cast<std::size_t>(t)); }
  double signal(int t) const;  // sqrt(abar_t)
  double noise(int t) const;   // sqrt(1 - abar_t)
  double snr(int t) const;     // 0 at a zero terminal
  double sigma(int t) const;   // always finite, see kSmallestAlphaCumprod

  double sigma_min() const { return sigma(0); }
  double sigma_max() const { return sigma(timesteps() - 1); }

  // ln sigma is taken as linear between timesteps: the two functions are each other's inverse on
  // [0, timesteps - 1] and clamp outside.
  double sigma_at(double timestep) const;
  double timestep_at(double sigma) const;

 private:
  NoiseScheduleSpec spec_;
  std::vector<double> betas_, alphas_cumprod_, log_sigmas_;
};

// How much a timestep counts in the loss.
//   none      1
//   min_snr   min(SNR, gamma) / SNR for eps,     min(SNR, gamma) / (SNR + 1) for v
//   debiased  1 / sqrt(min(SNR, 1000)) for eps,  1 / (min(SNR, 1000) + 1) for v
enum class LossWeight : std::uint8_t { none, min_snr, debiased };

struct LossWeighting {
  LossWeight kind = LossWeight::none;
  double gamma = 5;
};

// Throws ConfigError unless gamma > 0 where it is used.
double loss_weight(const NoiseSchedule& schedule, const LossWeighting& weighting, int timestep);

// Per-sample factors of one training batch, for mix_per_sample:
//   x_t    = signal x_0 + noise eps
//   target = target_x0 x_0 + target_eps eps
// and the weight of each sample's mean squared error.
struct TrainingFactors {
  std::vector<float> signal, noise, target_x0, target_eps, weight;
};
TrainingFactors training_factors(const NoiseSchedule& schedule, const LossWeighting& weighting,
                                 std::span<const int> timesteps);

// Uniform integer in [begin, end): the timestep of the sample that the stream names.
// Throws ConfigError unless 0 <= begin < end.
int draw_timestep(const RandomStream& stream, int begin, int end);

}  // namespace rankine
