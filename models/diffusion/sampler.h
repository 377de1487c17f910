// Running a sampler: from noise to a latent by repeated calls of the network.
#pragma once

#include <functional>

#include "engine/core/context.h"
#include "models/diffusion/sampler_plan.h"

namespace rankine {

// The network with everything but the latent bound: x (N, ...) as the network wants it, at one timestep for
// all samples; writes its raw prediction (eps or v) into out, of the same shape. May throw to stop the
// sampling.
using Denoiser = std::function<void(const Tensor& x, float timestep, Tensor& out)>;

struct SampleSpec {
  SamplerName sampler;
  int steps = 20;
  double cfg = 7.5;        // guidance scale, for guided()
  std::uint64_t seed = 0;  // of the noise that ancestral samplers add
  std::uint32_t first_sample =
      0;  // ordinal of the first sample: sample i of a batch draws as if it were alone
};

// N(0, 1) noise (N, ...) to start from; sample i is a function of (seed, first_sample + i) alone.
Tensor initial_noise(const Context& c, const Shape& shape, const SampleSpec& spec);

// `noise` is N(0, 1) of the latent's shape (N, ..., C), fp32, and is overwritten; its storage is returned as
// the clean latent (still scaled by the model's latent factor). Memory beside it: 2 tensors of its size, 4
// for DPM++ 2M. Works on a plan device. Throws ConfigError for impossible steps, ShapeError for a wrong noise
// tensor.
Tensor run_sampler(const Context& c, const NoiseSchedule& schedule, const SampleSpec& spec, Tensor noise,
                   const Denoiser& denoise);

// out = unconditional + scale (conditional - unconditional), both halves of `both` (2N, ...): unconditional
// first.
void combine_guidance(const Context& c, Tensor& out, const Tensor& both, double scale);

// Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) around a network that takes 2N samples,
// the first N of them unconditional. The result keeps `network` and a copy of `c`.
Denoiser guided(const Context& c, Denoiser network, double scale);

}  // namespace rankine
