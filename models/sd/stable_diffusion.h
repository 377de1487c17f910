// A loaded Stable Diffusion model: text encoders, U-Net and VAE with what binds them together.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "io/text/clip_tokenizer.h"
#include "models/nn/weight_stream.h"
#include "models/sd/sd_checkpoint.h"
#include "models/unet/unet.h"

namespace rankine {

// SDXL's size conditioning, in pixels (Podell et al. 2023, section 2.2).
struct SizeCondition {
  float original_h = 1024, original_w = 1024, crop_top = 0, crop_left = 0, target_h = 1024, target_w = 1024;
};

// Prompts on the device, for every encoder.
struct TextInputs {
  std::int64_t prompts = 0;
  std::vector<ClipInput> tokens;  // of each encoder: prompts · windows rows
  Tensor sizes;                   // (N · 6) fp32, SDXL only
};

// What the U-Net is told beside the latents and the timestep.
struct Conditioning {
  Tensor context;  // (N, S, context_dim)
  Tensor vector;   // (N, adm_channels), SDXL only
};

// The text side: prompts to conditioning and, when the encoders train, back.
class TextConditioner {
 public:
  struct Encoder {
    std::unique_ptr<ClipText> model;
    ClipWant want;
    std::int32_t pad_token;
  };

  // Tokens and uploads: all that the text side takes from the host. max_tokens is 75, 150 or 225; longer
  // prompts are cut. `sizes` has one entry per prompt for SDXL, else is ignored.
  TextInputs prepare(const Context& c, const std::vector<std::string>& prompts, int max_tokens,
                     const std::vector<SizeCondition>& sizes) const;
  Conditioning forward(const Context& c, const TextInputs& in);
  // Gradients of the trained encoders from that of the conditioning; pops what forward pushed.
  void backward(const Context& c, const Conditioning& d);

  std::vector<Encoder> encoders;
  std::shared_ptr<const ClipTokenizer> tokenizer;
  int adm_channels = 0;

 private:
  struct Saved {
    std::int64_t prompts, windows;
  };
  std::vector<std::int32_t> token_ids(const std::vector<std::string>& prompts, int max_tokens,
                                      std::int32_t pad) const;
  Tensor join_windows(const Context& c, const Tensor& hidden, std::int64_t prompts) const;
  Tensor split_windows(const Context& c, const Tensor& djoined, std::int64_t windows) const;
};

struct SdSaveOptions {
  bool half = true;  // fp16, else fp32
  // Folded into quant_conv and its inverse into post_quant_conv: the latents of the written VAE are this
  // times larger, its pictures the same. A fresh VAE meets the layout's fixed latent_scale this way.
  float latent_gain = 1;
  std::map<std::string, std::string> metadata;
};

class StableDiffusion {
 public:
  // Builds the modules; weights come with load() or init().
  explicit StableDiffusion(SdCheckpoint checkpoint, std::shared_ptr<const ClipTokenizer> tokenizer);

  // Every weight from the checkpoint. `stream`: of the U-Net.
  void load(const Context& c, PagedWeightStream* stream = nullptr);
  // Random weights in the given storage type, as a model that is to be trained from nothing starts.
  void init(const Context& c, std::uint64_t seed, DType matrices, PagedWeightStream* stream = nullptr);

  // Writes all weights as one file with the key layout of v1-5-pruned (SD 1.x layout only), with the
  // vocabulary in its metadata. The live weights stay as they are. Throws Error for other layouts.
  void save(const std::filesystem::path& path, const SdSaveOptions& options);

  // What the frozen VAE computes in, which is that of the run but for SDXL: inside that VAE, as published,
  // numbers pass 65504, the largest of fp16, so it computes in bf16 where the run does in fp16.
  DType vae_type(const Context& c) const;
  // Moments (N, h, w, 2Z) = [mean | logvar] of pictures (N, H, W, 3) in [-1, 1]; and pictures from latents
  // (N, h, w, 4) in the U-Net's scale. Both take any type and return vae_type().
  Tensor encode(const Context& c, const Tensor& pictures);
  Tensor decode(const Context& c, const Tensor& latents);
  // What a user is told when either came out with numbers that are not finite: which VAE, and what helps.
  std::string vae_failure(const Context& c) const;

  const SdCheckpoint& checkpoint() const { return checkpoint_; }
  void set_clip_skip(int skip);  // SD 1.x and 2.x; throws ConfigError for SDXL unless 1
  SdFamily family() const { return checkpoint_.family; }

  TextConditioner text;
  UNet unet;
  Vae vae;

 private:
  SdCheckpoint checkpoint_;
};

}  // namespace rankine
