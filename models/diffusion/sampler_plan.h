// A sampler as a table: every step of DDIM, Euler, Euler a and DPM++ 2M is a linear combination of tensors
// whose factors depend on the noise schedule alone. The table is made once, in double precision; running it
// is a loop over a handful of elementwise kernels (sampler.h).
//
// Two spaces are used. DDIM keeps x = sqrt(abar) x_0 + sqrt(1 - abar) eps. The others keep x = x_0 + sigma
// eps and show the network x / sqrt(sigma^2 + 1) at the timestep of that sigma.
//
// Sources: DDIM, Song et al. 2020 (arXiv 2010.02502); Euler and the Karras spacing, Karras et al. 2022
// (2206.00364); Euler a and DPM++ 2M as in the "k-diffusion" samplers of the web UIs, the latter after Lu et
// al. 2022 (2211.01095).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "models/diffusion/noise_schedule.h"

namespace rankine {

enum class SamplerKind : std::uint8_t { ddim, euler, euler_a, dpmpp_2m };

struct SamplerName {
  SamplerKind kind = SamplerKind::euler;
  bool karras = false;  // sigmas spaced by Karras et al., rho = 7; not with DDIM
};

// "DDIM", "Euler", "Euler a", "DPM++ 2M", the last three also with " Karras": the names of the web UIs.
std::string to_string(SamplerName name);
// Takes those names and the short ones of the run file and of other tools (ddim, euler, k_euler, euler_a,
// k_euler_a, euler_ancestral, dpmpp_2m, dpmsolver++), in any case, with or without "Karras" behind. Throws
// ConfigError with the list of names.
SamplerName parse_sampler(std::string_view text);

// One step:
//   out = network(input_scale x, timestep)                  eps or v, whichever the schedule says
//   D   = denoised_x x + denoised_out out                   only computed where a weight below needs it
//   x   = keep x + direct out + denoised D + previous D_of_the_step_before + fresh_noise z
struct SamplerStep {
  double timestep = 0;
  double input_scale = 1;
  double denoised_x = 0, denoised_out = 0;
  double keep = 0, direct = 0, denoised = 0, previous = 0, fresh_noise = 0;
};

struct SamplerPlan {
  double initial_scale = 1;        // x at the start = initial_scale * N(0, 1)
  std::vector<SamplerStep> steps;  // the last one lands on the clean latent
  bool uses_denoised = false;      // D and the one before are needed: two more tensors
  bool uses_noise = false;
};

// The sigmas a sampler walks down, `steps` + 1 of them, the last one 0. Default: timesteps evenly from the
// last to the first; Karras: (max^(1/7) + i / (steps - 1) (min^(1/7) - max^(1/7)))^7.
std::vector<double> sampler_sigmas(const NoiseSchedule& schedule, int steps, bool karras);

// The timesteps of DDIM, descending: i (T / N) + 1 ("leading", as the Stable Diffusion models' own settings
// say), limited to the last; with zero terminal SNR T - 1 - i T / N ("trailing"), which starts at pure noise.
std::vector<int> ddim_timesteps(const NoiseSchedule& schedule, int steps);

// Throws ConfigError unless 1 <= steps <= timesteps, and for DDIM with Karras.
SamplerPlan plan_sampler(const NoiseSchedule& schedule, SamplerName name, int steps);

}  // namespace rankine
