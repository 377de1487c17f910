#include "io/config/presets.h"

namespace rankine::config {
namespace {

// Common ground of the values: what widely used trainers ship as defaults and what their guides recommend
// (rank 8 to 32, AdamW at 1e-4, cosine decay, clipping at 1). Where they differ, the comment says why we
// chose so.

constexpr Preset kSd15Style{"sd15-style",
                            "A style or look on Stable Diffusion 1.x at 512 pixels, some 20 to 200 pictures.",
                            R"(resolution: 512
lora_rank: 16            # a style touches everything a little; 4 to 32 is usual
lora_alpha: 16           # scale 1: the learning rate means the same at every rank
learning_rate: 1e-4
lr_scheduler: cosine
lr_warmup_steps: 0.05
batch_size: 4            # averages over subjects, which a style must not learn
epochs: 20
flip: true               # a look has no left and right
caption_dropout: 0.05    # keeps guidance working, and lets the look show without a trigger word
min_snr_gamma: 5         # evens out timesteps; converges in fewer steps
noise_offset: 0.03       # a little: dark and bright looks are out of reach without it
max_token_length: 150
)"};

constexpr Preset kSd15Character{"sd15-character",
                                "A person, figure or object on Stable Diffusion 1.x, some 15 to 60 pictures.",
                                R"(resolution: 512
lora_rank: 32            # identity is more detail than a style
lora_alpha: 16           # half the scale: few pictures overfit fast
learning_rate: 1e-4
lr_scheduler: cosine
lr_warmup_steps: 0.05
batch_size: 2
epochs: 20
flip: false              # faces, clothes and writing are not symmetric
train_text_encoder: true # ties the trigger word to the subject
text_encoder_lr: 5e-5    # half of the U-Net's: the encoder forgets quickly
caption_shuffle: true    # parts of a caption should not depend on their order
keep_tokens: 1           # the trigger word stays first
min_snr_gamma: 5
max_token_length: 150
)"};

constexpr Preset kSd21Style{"sd21-style", "A style on Stable Diffusion 2.1 at 768 pixels.",
                            R"(resolution: 768
prediction_type: auto    # the 768 model predicts v, the 512 base predicts epsilon
lora_rank: 16
lora_alpha: 16
learning_rate: 1e-4
lr_scheduler: cosine
lr_warmup_steps: 0.05
batch_size: 2            # 768 pixels take about 2.5 times the memory of 512
gradient_accumulation: 2
epochs: 20
flip: true
caption_dropout: 0.05
min_snr_gamma: 5
)"};

constexpr Preset kSdxlStyle{"sdxl-style", "A style on SDXL at 1024 pixels.",
                            R"(resolution: 1024
max_bucket_side: 2048    # with 1024 the usual 832 x 1216 would not exist
lora_rank: 16
lora_alpha: 16
learning_rate: 1e-4
lr_scheduler: cosine
lr_warmup_steps: 0.05
batch_size: 1            # fits a 24 GB card with room for previews
gradient_accumulation: 4
epochs: 15
flip: true
caption_dropout: 0.05
min_snr_gamma: 5
train_text_encoder: false # two large encoders; the U-Net alone carries a style
)"};

constexpr Preset kSdxlCharacter{"sdxl-character", "A person, figure or object on SDXL.",
                                R"(resolution: 1024
max_bucket_side: 2048
lora_rank: 32
lora_alpha: 32
learning_rate: 3e-5      # SDXL keeps faces better at a low rate and full scale
lr_scheduler: cosine
lr_warmup_steps: 0.05
batch_size: 1
gradient_accumulation: 2
epochs: 20
flip: false
caption_shuffle: true
keep_tokens: 1
min_snr_gamma: 5
)"};

constexpr Preset kTiny{"tiny", "A small, quick run that shows on any computer that everything works.",
                       R"(resolution: 64
min_bucket_side: 64
bucket_step: 32          # a step of 64 would leave a single bucket
lora_rank: 4
learning_rate: 1e-3      # a small model trained briefly bears a high rate
lr_scheduler: constant
lr_warmup_steps: 0
batch_size: 4
max_steps: 50
save_steps: 25
keep_checkpoints: 2
sample_count_steps: 8
)"};

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {kSd15Style, kSd15Character, kSd21Style,
                                          kSdxlStyle, kSdxlCharacter, kTiny};
  return all;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  return names;
}

const Preset* find_preset(std::string_view name) {
  for (const Preset& preset : presets())
    if (preset.name == name) return &preset;
  return nullptr;
}

}  // namespace rankine::config
