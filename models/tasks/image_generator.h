// Text to picture with a loaded model: previews while training, and `rankine sample`.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "engine/core/stop_flag.h"
#include "io/image/encode.h"
#include "models/diffusion/sampler.h"
#include "models/sd/stable_diffusion.h"

namespace rankine {

struct PictureRequest {
  std::string prompt, negative;
  int width = 512, height = 512;  // pixels, multiples of the VAE's downscale
  int steps = 25;                 // denoising steps
  double cfg = 7;                 // guidance scale; 1 switches guidance off
  std::uint64_t seed = 0;
  SamplerName sampler;
  int max_tokens = 75;
  StopFlag stop;  // looked at before each denoising step
  // Told of a picture with numbers that are not finite, which become black; may be empty.
  std::function<void(const std::string&)> warn;
};

// Throws ConfigError for sizes that the VAE cannot make, Interrupted when
// `stop` is set.
Image generate_picture(const Context& c, StableDiffusion& sd, const NoiseSchedule& schedule,
                       const PictureRequest& request);

// The settings as user interfaces write them into a PNG under "parameters".
PngText parameters_text(const PictureRequest& request, const std::string& model,
                        const std::string& extra = "");

}  // namespace rankine
