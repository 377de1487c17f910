#include "models/tasks/adapter_metadata.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>

#include "io/files/sha256.h"
#include "io/formats/kohya_metadata.h"
#include "models/tasks/diffusion_task.h"

namespace rankine {

SamplerName sampler_name_of(config::Sampler sampler) {
  switch (sampler) {
    case config::Sampler::ddim:
      return {SamplerKind::ddim, false};
    case config::Sampler::euler:
      return {SamplerKind::euler, false};
    case config::Sampler::euler_a:
      return {SamplerKind::euler_a, false};
    case config::Sampler::dpmpp_2m:
      return {SamplerKind::dpmpp_2m, false};
  }
  return {};
}

std::string settings_fingerprint(const config::RunConfig& config) {
  static constexpr std::array<std::string_view, 17> kNotNumeric{
      "base_model",    "vae",        "tokenizer",        "train_data_dir", "metadata_path",
      "output_dir",    "save_steps", "keep_checkpoints", "save_name",      "threads",
      "memory_budget", "cache_dir",  "recompute",        "paging",         "weight_streaming",
      "page_memory",   "page_dir"};
  std::string text;
  for (const auto& [key, value] : config::to_key_values(config)) {
    const bool skip = key.starts_with("sample_") || std::find(kNotNumeric.begin(), kNotNumeric.end(),
                                                              std::string_view(key)) != kNotNumeric.end();
    if (!skip) text += key + ": " + value + "\n";
  }
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

namespace {

BaseVersion base_version(const StableDiffusion& sd, Prediction prediction) {
  const bool v = prediction == Prediction::v;
  switch (sd.family()) {
    case SdFamily::sd_v1:
      return v ? BaseVersion::sd_v1_v : BaseVersion::sd_v1;
    case SdFamily::sd_v2:
      return v ? BaseVersion::sd_v2_v : BaseVersion::sd_v2;
    case SdFamily::sdxl:
      return BaseVersion::sdxl_base_v1_0;
  }
  return BaseVersion::sd_v1;
}

std::string enum_text(const config::RunConfig& config, const std::string& wanted) {
  for (const auto& [key, value] : config::to_key_values(config)) {
    if (key == wanted) return value;
  }
  return {};
}

NetworkFacts network_facts(const config::AdapterSection& a) {
  NetworkFacts f;
  f.rank = a.lora_rank;
  f.alpha = a.alpha();
  if (a.lora_dropout > 0) f.dropout = a.lora_dropout;
  if (a.lora_conv_rank > 0) {
    f.args["conv_dim"] = std::to_string(a.lora_conv_rank);
    f.args["conv_alpha"] = join(a.conv_alpha());
  }
  if (a.lora_rank_dropout > 0) f.args["rank_dropout"] = join(a.lora_rank_dropout);
  if (a.lora_module_dropout > 0) f.args["module_dropout"] = join(a.lora_module_dropout);
  if (a.lora_plus_ratio != 1) f.args["loraplus_lr_ratio"] = join(a.lora_plus_ratio);
  if (a.use_rslora) f.args["use_rslora"] = "True";
  return f;
}

OptimizerFacts optimizer_facts(const config::RunConfig& k, std::int64_t steps_per_epoch) {
  OptimizerFacts f;
  f.learning_rate = k.optim.learning_rate;
  f.unet_lr = k.optim.learning_rate;
  if (k.adapter.train_text_encoder)
    f.text_encoder_lr = k.adapter.text_encoder_lr.value_or(k.optim.learning_rate);
  f.optimizer = join("AdamW(weight_decay=", k.optim.weight_decay, ")");
  f.lr_scheduler = enum_text(k, "lr_scheduler");
  f.max_train_steps = k.optim.max_steps.value_or(k.optim.epochs.value_or(0) * steps_per_epoch);
  f.num_epochs = k.optim.epochs.value_or((f.max_train_steps + steps_per_epoch - 1) / steps_per_epoch);
  f.lr_warmup_steps = k.optim.lr_warmup_steps.steps_of(f.max_train_steps);
  f.max_grad_norm = k.optim.max_grad_norm;
  f.gradient_accumulation_steps = k.optim.gradient_accumulation;
  f.cache_latents = k.data.cache_latents;
  return f;
}

ObjectiveFacts objective_facts(const config::RunConfig& k) {
  ObjectiveFacts f;
  if (k.objective.noise_offset > 0) f.noise_offset = k.objective.noise_offset;
  if (k.objective.min_snr_gamma > 0) f.min_snr_gamma = k.objective.min_snr_gamma;
  f.zero_terminal_snr = k.objective.zero_terminal_snr;
  f.prior_loss_weight = k.data.prior_loss_weight;
  const bool mse = k.objective.loss == config::LossType::mse;
  f.loss_type = mse ? "l2" : k.objective.loss == config::LossType::huber ? "huber" : "smooth_l1";
  if (!mse) f.huber_c = k.objective.huber_c;
  return f;
}

// Words between separators, as tag editors count them, per repeats value: one folder of the trainer each.
FolderFacts folder_facts(const std::string& name, const std::vector<Sample>& samples, bool regularisation,
                         const std::string& separator) {
  FolderFacts f;
  f.name = name;
  for (const Sample& s : samples) {
    if (s.regularisation != regularisation) continue;
    f.repeats = std::max<std::int64_t>(f.repeats, s.repeats);
    ++f.images;
    for (std::size_t at = 0; at <= s.caption.size();) {
      const std::size_t end = std::min(s.caption.find(separator, at), s.caption.size());
      std::string tag = s.caption.substr(at, end - at);
      tag.erase(0, std::min(tag.find_first_not_of(' '), tag.size()));
      tag.erase(tag.find_last_not_of(' ') + 1);
      if (!tag.empty()) ++f.tags[tag];
      at = end + separator.size();
    }
  }
  return f;
}

DataFacts data_facts(DiffusionTask& task) {
  const config::RunConfig& k = task.config();
  const ImageData& data = task.data();
  DataFacts f;
  const auto folder_name = [](const std::string& path) {
    const std::filesystem::path p = std::filesystem::path(path).lexically_normal();
    return (p.has_filename() ? p.filename() : p.parent_path().filename()).string();
  };
  f.folders.push_back(
      folder_facts(folder_name(k.data.train_data_dir), data.samples(), false, k.data.caption_separator));
  if (k.data.reg_data_dir) {
    f.reg_folders.push_back(
        folder_facts(folder_name(*k.data.reg_data_dir), data.samples(), true, k.data.caption_separator));
    f.reg_images = f.reg_folders[0].images;
  }
  const std::vector<int> counts = data.bucket_counts();
  for (std::size_t i = 0; i < counts.size() && k.data.enable_bucket; ++i) {
    f.buckets.push_back({data.buckets()[i].width, data.buckets()[i].height, counts[i]});
  }
  f.batch_size = k.optim.batch_size;
  f.total_batch_size = k.optim.batch_size * k.optim.gradient_accumulation;
  f.width = data.resolution().width;
  f.height = data.resolution().height;
  f.flip = k.data.flip;
  f.random_crop = k.data.random_crop;
  f.shuffle_caption = k.data.caption_shuffle;
  f.bucket_no_upscale = k.data.bucket_no_upscale;
  f.min_bucket_side = k.data.min_bucket_side;
  f.max_bucket_side = k.data.max_bucket_side;
  f.keep_tokens = k.data.keep_tokens;
  f.caption_dropout_rate = k.data.caption_dropout;
  f.caption_tag_dropout_rate = k.data.caption_tag_dropout;
  f.train_images = static_cast<std::int64_t>(data.train_pictures());
  f.validation_images = data.held_out() ? static_cast<std::int64_t>(data.validation().size()) : 0;
  f.batches_per_epoch = task.steps_per_epoch();
  return f;
}

}  // namespace

// No clock and no random identity: equal runs, stopped and resumed or not, end in equal bytes.
MetadataTable adapter_metadata(DiffusionTask& task, const std::map<std::string, std::string>& facts) {
  const config::RunConfig& k = task.config();
  KohyaFacts f;
  const std::filesystem::path out = std::filesystem::path(k.output.output_dir).lexically_normal();
  f.run.output_name =
      k.output.save_name.value_or((out.has_filename() ? out : out.parent_path()).filename().string());
  f.run.seed = k.optim.seed;
  if (const auto it = facts.find("steps"); it != facts.end()) f.run.steps = std::stoll(it->second);
  if (const auto it = facts.find("epoch"); it != facts.end())
    f.run.epoch = static_cast<std::int64_t>(std::stod(it->second));
  f.model.version = base_version(task.model(), task.schedule().prediction());
  f.model.name = task.loaded().name;
  f.model.sha256 = task.loaded().sha256;
  if (k.data.clip_skip > 1) f.model.clip_skip = k.data.clip_skip;
  if (k.data.max_token_length > 75) f.model.max_token_length = k.data.max_token_length;
  f.network = network_facts(k.adapter);
  f.optimizer = optimizer_facts(k, task.steps_per_epoch());
  f.objective = objective_facts(k);
  f.data = data_facts(task);
  f.description.title = f.run.output_name;
  return kohya_metadata(f);
}

}  // namespace rankine
