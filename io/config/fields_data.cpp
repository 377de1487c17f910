#include "io/config/codec.h"

namespace rankine::config {
namespace {

using S = DataSection;
constexpr auto kIn = &RunConfig::data;

Table<RunConfig> picture_fields() {
  return {
      field<RunConfig>({.key = "train_data_dir",
                        .doc = "Folder of the training data.",
                        .known_as = "data_dir dataset dataset_dir train_dir instance_data_dir",
                        .form = TextForm::path,
                        .required = true},
                       kIn, &S::train_data_dir),
      field<RunConfig>({.key = "metadata_path",
                        .doc = "Table of file names and captions (csv, jsonl or json).",
                        .not_set = "captions come from text files beside the pictures",
                        .known_as = "in_json metadata metadata_file",
                        .form = TextForm::path,
                        .of = KeyOf::picture_task},
                       kIn, &S::metadata_path),
      field<RunConfig>(
          {.key = "reg_data_dir",
           .doc = "Folder of class pictures that keep the model's idea of the class (prior preservation).",
           .not_set = "no prior preservation",
           .known_as = "class_data_dir reg_dir",
           .form = TextForm::path,
           .of = KeyOf::picture_task},
          kIn, &S::reg_data_dir),
      field<RunConfig>({.key = "prior_loss_weight",
                        .doc = "Weight of the loss of a class picture.",
                        .known_as = "prior_weight",
                        .min = 0,
                        .max = 10,
                        .of = KeyOf::picture_task},
                       kIn, &S::prior_loss_weight),
      field<RunConfig>({.key = "resolution",
                        .doc = "Training size. With buckets it fixes the area, without them the exact size.",
                        .unit = "pixels",
                        .not_set = "the base model's own: 512, 768 or 1024",
                        .known_as = "size image_size",
                        .min = 16,
                        .max = 4096,
                        .multiple_of = 8,
                        .of = KeyOf::picture_task},
                       kIn, &S::resolution),
      field<RunConfig>({.key = "enable_bucket",
                        .doc = "Group pictures by aspect ratio instead of cropping to one size.",
                        .known_as = "buckets bucketing",
                        .of = KeyOf::picture_task},
                       kIn, &S::enable_bucket),
      field<RunConfig>(
          {.key = "min_bucket_side",
           .doc = "Shortest side of a bucket. Not given and larger than the resolution: the resolution.",
           .unit = "pixels",
           .known_as = "min_bucket_reso",
           .min = 16,
           .max = 4096,
           .multiple_of = 8,
           .of = KeyOf::picture_task},
          kIn, &S::min_bucket_side),
      field<RunConfig>(
          {.key = "max_bucket_side",
           .doc = "Longest side of a bucket. Keep it well above the resolution: at the resolution itself "
                  "no wide or tall bucket keeps the area.",
           .unit = "pixels",
           .known_as = "max_bucket_reso",
           .min = 16,
           .max = 8192,
           .multiple_of = 8,
           .of = KeyOf::picture_task},
          kIn, &S::max_bucket_side),
      field<RunConfig>({.key = "bucket_step",
                        .doc = "Sides of a bucket are multiples of this.",
                        .unit = "pixels",
                        .known_as = "bucket_reso_steps",
                        .min = 8,
                        .max = 512,
                        .multiple_of = 8,
                        .of = KeyOf::picture_task},
                       kIn, &S::bucket_step),
      field<RunConfig>({.key = "bucket_no_upscale",
                        .doc = "Never enlarge a small picture; it gets a bucket of its own size.",
                        .of = KeyOf::picture_task},
                       kIn, &S::bucket_no_upscale),
      field<RunConfig>({.key = "flip",
                        .doc = "Mirror a picture left to right with probability one half.",
                        .known_as = "flip_aug random_flip",
                        .of = KeyOf::picture_task},
                       kIn, &S::flip),
      field<RunConfig>({.key = "random_crop",
                        .doc = "Crop at a random place instead of the centre. Needs cache_latents: false.",
                        .of = KeyOf::picture_task},
                       kIn, &S::random_crop),
      field<RunConfig>(
          {.key = "on_bad_data",
           .doc = "A picture that cannot be read or a missing caption stops the run (fail), or is left out "
                  "and listed (skip)."},
          kIn, &S::on_bad_data),
  };
}

Table<RunConfig> caption_fields() {
  return {
      field<RunConfig>({.key = "caption_shuffle",
                        .doc = "Shuffle the parts of a caption at every use.",
                        .known_as = "shuffle_caption",
                        .of = KeyOf::picture_task},
                       kIn, &S::caption_shuffle),
      field<RunConfig>({.key = "keep_tokens",
                        .doc = "So many parts at the start of a caption stay in place and are never dropped.",
                        .min = 0,
                        .max = 255,
                        .of = KeyOf::picture_task},
                       kIn, &S::keep_tokens),
      field<RunConfig>({.key = "caption_separator",
                        .doc = "What separates the parts of a caption.",
                        .form = TextForm::some,
                        .of = KeyOf::picture_task},
                       kIn, &S::caption_separator),
      field<RunConfig>({.key = "caption_dropout",
                        .doc = "Probability of training a picture with an empty caption.",
                        .known_as = "caption_dropout_rate",
                        .min = 0,
                        .max = 1,
                        .of = KeyOf::picture_task},
                       kIn, &S::caption_dropout),
      field<RunConfig>({.key = "caption_tag_dropout",
                        .doc = "Probability of leaving out each part of a caption.",
                        .known_as = "caption_tag_dropout_rate",
                        .min = 0,
                        .max = 1,
                        .below_max = true,
                        .of = KeyOf::picture_task},
                       kIn, &S::caption_tag_dropout),
      field<RunConfig>(
          {.key = "caption_prefix", .doc = "Text before every caption.", .of = KeyOf::picture_task}, kIn,
          &S::caption_prefix),
      field<RunConfig>(
          {.key = "caption_suffix", .doc = "Text after every caption.", .of = KeyOf::picture_task}, kIn,
          &S::caption_suffix),
      field<RunConfig>(
          {.key = "max_token_length",
           .doc = "Longest caption; more than 75 is encoded in chunks of 75. A longer one is cut, with a "
                  "warning.",
           .unit = "tokens",
           .choices = {75, 150, 225},
           .of = KeyOf::picture_task},
          kIn, &S::max_token_length),
      field<RunConfig>(
          {.key = "clip_skip",
           .doc = "Which layer of the text encoder is used, counted from the end. No effect on SDXL.",
           .min = 1,
           .max = 12,
           .of = KeyOf::picture_task},
          kIn, &S::clip_skip),
  };
}

Table<RunConfig> cache_fields() {
  return {
      field<RunConfig>({.key = "cache_latents",
                        .doc = "Encode every picture once before training and keep the latents on disk.",
                        .of = KeyOf::picture_task},
                       kIn, &S::cache_latents),
      field<RunConfig>(
          {.key = "cache_dir",
           .doc = "Folder of cached latents. Entries are found by content, so runs can share it.",
           .not_set = "inside output_dir",
           .form = TextForm::path,
           .of = KeyOf::picture_task},
          kIn, &S::cache_dir),
      field<RunConfig>(
          {.key = "validation_split",
           .doc = "Share of the data that is not trained on but measured with fixed noise and timesteps.",
           .known_as = "val_split eval_split",
           .min = 0,
           .max = 0.5},
          kIn, &S::validation_split),
      field<RunConfig>({.key = "validation_steps",
                        .doc = "Measure the validation loss every so many steps.",
                        .unit = "optimizer steps",
                        .known_as = "eval_steps validate_every_n_steps",
                        .min = 1,
                        .max = 1e9},
                       kIn, &S::validation_steps),
  };
}

}  // namespace

Table<RunConfig> data_fields() {
  Table<RunConfig> table = picture_fields();
  for (auto& part : {caption_fields(), cache_fields()}) table.insert(table.end(), part.begin(), part.end());
  return table;
}

}  // namespace rankine::config
