#include "models/tasks/image_generator.h"

#include "engine/core/finite.h"
#include "engine/core/transfer.h"
#include "engine/tape/weight_stream.h"
#include "io/image/pixels.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine {
namespace {

// The network as the sampler sees it: [unconditional, conditional] in one batch when guidance is on.
Denoiser bind_network(const Context& c, StableDiffusion& sd, const Conditioning& condition, StopFlag stop) {
  return [&c, &sd, &condition, stop](const Tensor& x, float timestep, Tensor& out) {
    stop.throw_if_set();
    Tensor noisy = c.empty(x.shape(), "noisy latents");
    copy(c, noisy, x);
    UNetInput in{noisy, c.empty({x.dim(0)}, "timestep", DType::f32), condition.context, condition.vector};
    fill(c, in.t, timestep);
    copy(c, out, sd.unet.forward(c, in));
  };
}

// Why a picture is not finite, from the latent that it was decoded from.
std::string why_black(const Context& c, const StableDiffusion& sd, const Tensor& latent) {
  if (all_finite(floats_of(latent))) return sd.vae_failure(c);
  const bool small_range = c.activations() == DType::f16;
  return join("the U-Net makes numbers that are not finite, computing in ", name_of(c.activations()),
              "; its weights or the adapter's may be damaged, or trained at too high a learning_rate",
              small_range ? ", or too large for that type: try compute_dtype: bf16" : "");
}

}  // namespace

Image generate_picture(const Context& with_tape, StableDiffusion& sd, const NoiseSchedule& schedule,
                       const PictureRequest& r) {
  Context c = with_tape.without_tape();
  c.training = false;
  const int down = sd.vae.config.downscale();
  require<ConfigError>(r.width % down == 0 && r.height % down == 0 && r.width > 0 && r.height > 0,
                       "sample: width and height must be multiples of ", down, ", got ", r.width, "x",
                       r.height);
  const bool guidance = r.cfg != 1.0;
  std::vector<std::string> prompts{r.prompt};
  if (guidance) prompts.insert(prompts.begin(), r.negative);
  const auto h = static_cast<float>(r.height), w = static_cast<float>(r.width);
  const std::vector<SizeCondition> sizes(prompts.size(), SizeCondition{h, w, 0, 0, h, w});
  const Conditioning condition = sd.text.forward(c, sd.text.prepare(c, prompts, r.max_tokens, sizes));

  SampleSpec spec;
  spec.sampler = r.sampler;
  spec.steps = r.steps;
  spec.cfg = r.cfg;
  spec.seed = r.seed;
  const Denoiser network = bind_network(c, sd, condition, r.stop);
  const Tensor noise =
      initial_noise(c, {1, r.height / down, r.width / down, sd.vae.config.latent_channels}, spec);
  Tensor latent;
  {
    const WeightPass pass(c);
    latent = run_sampler(c, schedule, spec, noise, guidance ? guided(c, network, r.cfg) : network);
  }
  const Tensor picture = sd.decode(c, latent);
  if (c.planning()) return Image(r.width, r.height);
  const std::vector<float> pixels = floats_of(picture);
  if (r.warn && !all_finite(pixels))
    r.warn(join("the picture of \"", r.prompt, "\" is black in part or whole: ", why_black(c, sd, latent)));
  return from_float_hwc(pixels, r.width, r.height);
}

PngText parameters_text(const PictureRequest& r, const std::string& model, const std::string& extra) {
  std::string text = r.prompt;
  if (!r.negative.empty()) text += "\nNegative prompt: " + r.negative;
  text += join("\nSteps: ", r.steps, ", Sampler: ", to_string(r.sampler), ", CFG scale: ", r.cfg,
               ", Seed: ", r.seed, ", Size: ", r.width, "x", r.height, ", Model: ", model,
               extra.empty() ? "" : ", " + extra);
  return {"parameters", text};
}

}  // namespace rankine
