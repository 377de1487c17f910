// The one place that knows how checkpoints and adapters spell the modules of a model.
#pragma once

#include <optional>
#include <string>

#include "models/nn/load.h"
#include "models/unet/unet_config.h"

namespace rankine {

// ---- checkpoints: the model's own spelling -> a file's ----

// LDM U-Net path "input_blocks.4.0.in_layers.2" -> "down_blocks.1.resnets.0.conv1" (diffusers). The argument
// may end in .weight or .bias. Throws Error for a path that is not of the U-Net.
std::string diffusers_unet_name(const UNetConfig& config, const std::string& ldm_path);
Naming diffusers_unet_naming(const UNetConfig& config, std::string prefix = "");

// LDM VAE names -> diffusers; `source` decides between the new and old attention spellings.
Naming diffusers_vae_naming(const TensorSource& source, int levels);

// Hugging Face CLIP text names -> those of the first SD 1.x files, without "text_model.".
Naming early_clip_naming(std::string prefix);

// Hugging Face CLIP text names -> OpenCLIP names under `prefix` (in_proj split, text_projection transposed).
Naming open_clip_naming(std::string prefix);

// ---- adapters: kohya module names ----

// What kind of module a path is, for choosing LoRA targets as kohya's sd-scripts do.
enum class TargetKind : std::uint8_t {
  none,       // conv_in, conv_out, time and label embedding, CLIP embeddings: never a target
  attention,  // every Linear and 1×1 convolution inside a spatial transformer, every Linear of a CLIP layer
  conv_linear,  // 1×1 shortcut and time projection of a residual block: with lora_conv_rank, at lora_rank
  conv,         // 3×3 convolutions of residual blocks, down- and upsamplers: with lora_conv_rank
};
TargetKind unet_target_kind(const std::string& ldm_path);
TargetKind clip_target_kind(const std::string& hf_path);

// "lora_unet_down_blocks_0_attentions_0_…" for SD 1.x and 2.x; "lora_unet_input_blocks_4_1_…" for SDXL.
std::string kohya_unet_name(const UNetConfig& config, const std::string& ldm_path);
// `encoder` 0 or 1 of `encoders`: prefix lora_te_ for a single one, lora_te1_ and lora_te2_ for SDXL's pair.
std::string kohya_clip_name(int encoder, int encoders, const std::string& hf_path);

}  // namespace rankine
