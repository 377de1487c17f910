#include "models/diffusion/sampler.h"

#include <utility>

#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"

namespace rankine {

namespace {

void fill_noise(const Context& c, Tensor& z, const SampleSpec& spec, std::uint32_t use, std::uint32_t step) {
  for (std::int64_t n = 0; n < z.dim(0); ++n) {
    Tensor sample = z.slice(n, n + 1);
    fill_normal(c, sample, {spec.seed, use, step, spec.first_sample + static_cast<std::uint32_t>(n)});
  }
}

// The tensors of a run beside x. `work` is the network's input before its call, fresh noise after it.
struct Buffers {
  Tensor work, out, denoised, previous;
};

void update(const Context& c, const SamplerStep& step, Tensor& x, Buffers& b) {
  if (b.denoised.defined()) {
    scale(c, b.denoised, x, static_cast<float>(step.denoised_x));
    add_scaled(c, b.denoised, b.out, static_cast<float>(step.denoised_out));
  }
  scale(c, x, x, static_cast<float>(step.keep));
  if (step.direct != 0) add_scaled(c, x, b.out, static_cast<float>(step.direct));
  if (step.denoised != 0) add_scaled(c, x, b.denoised, static_cast<float>(step.denoised));
  if (step.previous != 0) add_scaled(c, x, b.previous, static_cast<float>(step.previous));
  if (step.fresh_noise != 0) add_scaled(c, x, b.work, static_cast<float>(step.fresh_noise));
}

}  // namespace

Tensor initial_noise(const Context& c, const Shape& shape, const SampleSpec& spec) {
  require<ShapeError>(shape.rank() >= 2, "initial_noise: expected a batch of latents (N, ..., C), got ",
                      shape);
  Tensor noise = c.empty(shape, "initial noise", DType::f32);
  fill_noise(c, noise, spec, purpose("initial noise"), 0);
  return noise;
}

Tensor run_sampler(const Context& c, const NoiseSchedule& schedule, const SampleSpec& spec, Tensor noise,
                   const Denoiser& denoise) {
  require<ShapeError>(noise.defined() && noise.shape().rank() >= 2 && noise.dtype() == DType::f32,
                      "run_sampler: expected fp32 noise (N, ..., C)");
  const SamplerPlan plan = plan_sampler(schedule, spec.sampler, spec.steps);
  Tensor x = std::move(noise);
  scale(c, x, x, static_cast<float>(plan.initial_scale));
  Buffers b{c.like(x, "sampler input"), c.like(x, "sampler output"), {}, {}};
  if (plan.uses_denoised) {
    b.denoised = c.like(x, "denoised");
    b.previous = c.like(x, "denoised before");
  }
  for (std::size_t i = 0; i < plan.steps.size(); ++i) {
    const SamplerStep& step = plan.steps[i];
    scale(c, b.work, x, static_cast<float>(step.input_scale));
    denoise(b.work, static_cast<float>(step.timestep), b.out);
    if (step.fresh_noise != 0)
      fill_noise(c, b.work, spec, purpose("sampler noise"), static_cast<std::uint32_t>(i));
    update(c, step, x, b);
    std::swap(b.denoised, b.previous);
  }
  return x;
}

void combine_guidance(const Context& c, Tensor& out, const Tensor& both, double scale_by) {
  require<ShapeError>(both.defined() && out.defined() && both.dim(0) == 2 * out.dim(0),
                      "combine_guidance: expected twice as many predictions as results");
  const std::int64_t n = out.dim(0);
  scale(c, out, both.slice(0, n), static_cast<float>(1 - scale_by));
  add_scaled(c, out, both.slice(n, 2 * n), static_cast<float>(scale_by));
}

Denoiser guided(const Context& c, Denoiser network, double scale_by) {
  return [c, network = std::move(network), scale_by](const Tensor& x, float timestep, Tensor& out) {
    const std::int64_t n = x.dim(0);
    Tensor twice = c.empty(x.shape().with_dim(0, 2 * n), "guidance input", x.dtype());
    for (Tensor half : {twice.slice(0, n), twice.slice(n, 2 * n)}) copy(c, half, x);
    Tensor both = c.like(twice, "guidance output");
    network(twice, timestep, both);
    combine_guidance(c, out, both, scale_by);
  };
}

}  // namespace rankine
