// What an adapter says about how it was made, under the names that WebUI, ComfyUI and kohya's tools read:
// ss_* (kohya-ss/sd-scripts) and modelspec.* (Stability-AI ModelSpec 1.0.1).
//
// The defaults below mean "not used". What an optional does not hold is written as "None", as Python would.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/formats/safetensors.h"

namespace rankine {

enum class BaseVersion : std::uint8_t { sd_v1, sd_v1_v, sd_v2, sd_v2_v, sdxl_base_v1_0 };
std::string_view name_of(BaseVersion version);  // "sd_v1", ..., "sdxl_base_v1-0"

struct RunFacts {
  std::string output_name;
  std::optional<std::string> comment;
  std::string session_id;
  double started_at = 0, finished_at = 0;  // seconds since 1970-01-01 UTC; 0: not said
  std::optional<std::int64_t> seed;
  std::int64_t steps = 0, epoch = 0;  // done when the file was written
};

struct BaseModelFacts {
  BaseVersion version = BaseVersion::sd_v1;
  std::optional<std::string> name;         // file name, without folders
  std::optional<std::string> legacy_hash;  // 8 hexadecimal digits
  std::optional<std::string> sha256;       // of the whole file
  std::optional<std::string> vae_name, vae_legacy_hash, vae_sha256;
  std::optional<std::int64_t> clip_skip;         // counted from 1, the last layer
  std::optional<std::int64_t> max_token_length;  // 150 or 225; nothing means 75
};

struct NetworkFacts {
  std::int64_t rank = 0;
  double alpha = 0;
  std::optional<double> dropout;
  std::map<std::string, std::string> args;  // more settings, e.g. conv_dim
  std::optional<double> scale_weight_norms;
};

struct OptimizerFacts {
  double learning_rate = 0;
  std::optional<double> unet_lr, text_encoder_lr;  // nothing: that part is not trained
  std::string optimizer;                           // "AdamW(weight_decay=0.01)"
  std::string lr_scheduler;
  std::int64_t lr_warmup_steps = 0;
  double max_grad_norm = 0;
  std::int64_t max_train_steps = 0, num_epochs = 0, gradient_accumulation_steps = 1;
  bool cache_latents = false;
  std::string mixed_precision = "no";  // "no", "fp16" or "bf16"
};

struct ObjectiveFacts {
  std::optional<double> noise_offset, min_snr_gamma;
  bool zero_terminal_snr = false;
  double prior_loss_weight = 1;
  std::string loss_type = "l2";  // "l1", "l2", "huber", "smooth_l1"
  std::optional<double> huber_c;
};

struct FolderFacts {
  std::string name;
  std::int64_t repeats = 1, images = 0;
  std::map<std::string, std::int64_t> tags;  // how often each occurs in the captions
};

struct BucketFacts {
  std::int64_t width = 0, height = 0, count = 0;  // pixels; pictures
};

struct DataFacts {
  std::vector<FolderFacts> folders, reg_folders;
  std::vector<BucketFacts> buckets;  // empty: no bucketing
  double mean_aspect_error = 0;      // mean |aspect ratio of the bucket - of the picture|
  std::int64_t batch_size = 1, total_batch_size = 1;
  std::int64_t width = 512, height = 512;
  bool flip = false, random_crop = false, shuffle_caption = false, bucket_no_upscale = false;
  std::int64_t min_bucket_side = 256, max_bucket_side = 1024, keep_tokens = 0;
  double caption_dropout_rate = 0, caption_tag_dropout_rate = 0;
  std::int64_t train_images = 0, reg_images = 0, validation_images = 0, batches_per_epoch = 0;
};

struct DescriptionFacts {  // modelspec; all but the title may be left out
  std::string title;       // empty: the output name
  std::optional<std::string> author, description, license, tags, trigger_phrase;
};

struct KohyaFacts {
  RunFacts run;
  BaseModelFacts model;
  NetworkFacts network;
  OptimizerFacts optimizer;
  ObjectiveFacts objective;
  DataFacts data;
  DescriptionFacts description;
};

// ss_* and modelspec.*; without the hashes of the adapter itself, which write_adapter adds.
MetadataTable kohya_metadata(const KohyaFacts& facts);

}  // namespace rankine
