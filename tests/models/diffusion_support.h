// A diffusion problem with a known answer: data drawn from N(mean, deviation^2), whose best network is a
// formula and whose probability-flow path is a straight rescaling.
#pragma once

#include <cmath>

#include "models/diffusion/sampler.h"

namespace rankine::testing_support {

struct GaussianData {
  double mean = 0.7, deviation = 0.4;

  // E[x_0 | x], where x = x_0 + sigma z.
  double denoised(double x, double sigma) const {
    const double s2 = deviation * deviation, n2 = sigma * sigma;
    return (s2 * x + n2 * mean) / (s2 + n2);
  }
  // Where the probability flow takes x at noise `from` when the noise is `to`.
  double flow(double x, double from, double to) const {
    return mean + (x - mean) * std::hypot(deviation, to) / std::hypot(deviation, from);
  }
  // The network's raw output for its own input y = x / sqrt(sigma^2 + 1).
  double output(double y, double sigma, Prediction prediction) const {
    const double x = y * std::sqrt(sigma * sigma + 1), clean = denoised(x, sigma);
    const double eps = (x - clean) / sigma;
    return prediction == Prediction::epsilon ? eps : (eps - sigma * clean) / std::sqrt(sigma * sigma + 1);
  }
  Denoiser network(const NoiseSchedule& schedule) const {
    return [data = *this, &schedule](const Tensor& y, float timestep, Tensor& out) {
      const double sigma = schedule.sigma_at(timestep);
      for (std::int64_t i = 0; i < y.numel(); ++i)
        out.data<float>()[i] =
            static_cast<float>(data.output(y.data<float>()[i], sigma, schedule.prediction()));
    };
  }
};

inline SampleSpec sample_spec(SamplerKind kind, int steps, bool karras = false) {
  SampleSpec spec;
  spec.sampler = {kind, karras};
  spec.steps = steps;
  spec.seed = 77;
  return spec;
}

}  // namespace rankine::testing_support
