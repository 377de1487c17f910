// Opens a Stable Diffusion model, as one file or as a diffusers folder, and recognises what it is from its
// own keys and shapes. Nothing is loaded yet.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "io/formats/tensor_source.h"
#include "models/clip/clip_text.h"
#include "models/diffusion/noise_schedule.h"
#include "models/nn/load.h"
#include "models/unet/unet_config.h"
#include "models/vae/vae.h"

namespace rankine {

enum class SdFamily : std::uint8_t { sd_v1, sd_v2, sdxl };
std::string_view name_of(SdFamily family);

// One component: where its tensors are and how they are spelled there.
struct SdComponent {
  std::shared_ptr<const TensorSource> source;
  Naming naming;
};

struct SdTextEncoder {
  ClipTextConfig config;
  SdComponent at;
  ClipWant want;           // the family's rule; clip_skip changes `skip` of SD 1.x
  std::int32_t pad_token;  // id that fills a prompt up to 77; -1: the end-of-text token
};

struct SdCheckpoint {
  SdFamily family = SdFamily::sd_v1;
  std::filesystem::path path;
  UNetConfig unet_config;
  SdComponent unet;
  VaeConfig vae_config;
  SdComponent vae;
  std::vector<SdTextEncoder> text_encoders;
  float latent_scale = 0.18215F;  // latents = posterior sample × this
  Prediction prediction = Prediction::epsilon;
  int native_side = 512;  // pixels the model was made for
  std::string merges;     // BPE merges that came with the model; empty when it has none
};

// `path`: a .safetensors or .ckpt file (told by content) with the keys of v1-5-pruned, v2-1 or sd_xl_base,
// also of the first SD 1.x files; or a folder with model_index.json, its parts as .safetensors or .bin.
// Throws DataError saying what is missing and what is supported.
SdCheckpoint open_sd_checkpoint(const std::filesystem::path& path);

// The published sizes of a family without any weights: for plans and benchmarks.
SdCheckpoint published_sizes(SdFamily family);

// Another VAE file (single-file keys with or without "first_stage_model.", or diffusers keys) in place of the
// model's.
void replace_vae(SdCheckpoint& checkpoint, const std::filesystem::path& path);

// Metadata of single files written by this engine: what a small model's weights do not show and published
// ones need not say. Absent keys mean the family's own values.
inline constexpr const char* kMergesKey = "rankine.tokenizer.merges";
inline constexpr const char* kNativeSideKey = "rankine.native_side";
inline constexpr const char* kNormGroupsKey = "rankine.norm_groups";

}  // namespace rankine
