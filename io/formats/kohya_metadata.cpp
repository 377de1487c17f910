#include "io/formats/kohya_metadata.h"

#include <array>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/formats/python_text.h"

namespace rankine {
namespace {

using Json = nlohmann::ordered_json;

// Collects entries under one prefix.
class Group {
 public:
  Group(MetadataTable& table, std::string prefix) : table_(table), prefix_(std::move(prefix)) {}
  template <class T>
  void put(const char* key, const T& value) {
    table_[prefix_ + key] = python_str(value);
  }
  template <class T>
  void put_known(const char* key, const std::optional<T>& value) {
    if (value) put(key, *value);
  }

 private:
  MetadataTable& table_;
  std::string prefix_;
};

struct VersionFacts {
  std::string_view name, architecture, implementation, prediction;
};
constexpr std::string_view kDiffusers = "diffusers";
constexpr std::array<VersionFacts, 5> kVersions{{
    {"sd_v1", "stable-diffusion-v1/lora", kDiffusers, "epsilon"},
    {"sd_v1_v", "stable-diffusion-v1/lora", kDiffusers, "v"},
    {"sd_v2", "stable-diffusion-v2-512/lora", kDiffusers, "epsilon"},
    {"sd_v2_v", "stable-diffusion-v2-768-v/lora", kDiffusers, "v"},
    {"sdxl_base_v1-0", "stable-diffusion-xl-v1-base/lora",
     "https://github.com/Stability-AI/generative-models", "epsilon"},
}};
const VersionFacts& facts_of(BaseVersion version) { return kVersions[static_cast<std::size_t>(version)]; }

bool is_v2(BaseVersion version) { return version == BaseVersion::sd_v2 || version == BaseVersion::sd_v2_v; }

std::string iso_date(double seconds) {
  using namespace std::chrono;
  require<DataError>(std::isfinite(seconds) && std::abs(seconds) < 1e11, "metadata: ", seconds,
                     " s is no date");
  const sys_seconds time{std::chrono::seconds(static_cast<std::int64_t>(std::floor(seconds)))};
  const auto day = floor<days>(time);
  const year_month_day date(day);
  const hh_mm_ss clock(time - day);
  const auto two = [](auto n) { return join(n < 10 ? "0" : "", n); };
  return join(static_cast<int>(date.year()), '-', two(static_cast<unsigned>(date.month())), '-',
              two(static_cast<unsigned>(date.day())), 'T', two(clock.hours().count()), ':',
              two(clock.minutes().count()), ':', two(clock.seconds().count()), 'Z');
}

Json folders_json(const std::vector<FolderFacts>& folders) {
  Json json = Json::object();
  for (const FolderFacts& f : folders) json[f.name] = {{"n_repeats", f.repeats}, {"img_count", f.images}};
  return json;
}

Json tags_json(const std::vector<FolderFacts>& folders) {
  Json json = Json::object();
  for (const FolderFacts& f : folders) json[f.name] = f.tags;
  return json;
}

Json buckets_json(const DataFacts& data) {
  if (data.buckets.empty()) return nullptr;
  Json buckets = Json::object();
  for (const BucketFacts& b : data.buckets)
    buckets[std::to_string(buckets.size())] = {{"resolution", {b.width, b.height}}, {"count", b.count}};
  return {{"buckets", buckets}, {"mean_img_ar_error", data.mean_aspect_error}};
}

void put_run(Group ss, const RunFacts& run) {
  ss.put("output_name", run.output_name);
  ss.put("training_comment", run.comment);
  ss.put("session_id", run.session_id);
  if (run.started_at > 0) ss.put("training_started_at", run.started_at);
  if (run.finished_at > 0) ss.put("training_finished_at", run.finished_at);
  ss.put("seed", run.seed);
  ss.put("steps", run.steps);
  ss.put("epoch", run.epoch);
}

void put_model(Group ss, const BaseModelFacts& model) {
  ss.put("base_model_version", std::string(name_of(model.version)));
  ss.put("v2", is_v2(model.version));
  ss.put("clip_skip", model.clip_skip);
  ss.put("max_token_length", model.max_token_length);
  ss.put_known("sd_model_name", model.name);
  ss.put_known("sd_model_hash", model.legacy_hash);
  ss.put_known("new_sd_model_hash", model.sha256);
  ss.put_known("vae_name", model.vae_name);
  ss.put_known("vae_hash", model.vae_legacy_hash);
  ss.put_known("new_vae_hash", model.vae_sha256);
}

void put_network(Group ss, const NetworkFacts& network) {
  ss.put("network_module", "networks.lora");
  ss.put("network_dim", network.rank);
  ss.put("network_alpha", network.alpha);
  ss.put("network_dropout", network.dropout);
  ss.put("network_args", python_json(network.args));
  ss.put("scale_weight_norms", network.scale_weight_norms);
}

void put_optimizer(Group ss, const OptimizerFacts& o) {
  ss.put("learning_rate", o.learning_rate);
  ss.put("unet_lr", o.unet_lr);
  ss.put("text_encoder_lr", o.text_encoder_lr);
  ss.put("optimizer", o.optimizer);
  ss.put("lr_scheduler", o.lr_scheduler);
  ss.put("lr_warmup_steps", o.lr_warmup_steps);
  ss.put("max_grad_norm", o.max_grad_norm);
  ss.put("max_train_steps", o.max_train_steps);
  ss.put("num_epochs", o.num_epochs);
  ss.put("gradient_accumulation_steps", o.gradient_accumulation_steps);
  ss.put("mixed_precision", o.mixed_precision);
  ss.put("cache_latents", o.cache_latents);
  for (const char* unused : {"full_fp16", "fp8_base", "fp8_base_unet", "lowram"}) ss.put(unused, false);
}

void put_objective(Group ss, const ObjectiveFacts& objective) {
  ss.put("noise_offset", objective.noise_offset);
  ss.put("min_snr_gamma", objective.min_snr_gamma);
  ss.put("zero_terminal_snr", objective.zero_terminal_snr);
  ss.put("prior_loss_weight", objective.prior_loss_weight);
  ss.put("loss_type", objective.loss_type);
  ss.put("huber_c", objective.huber_c);
  for (const char* unused : {"multires_noise_iterations", "adaptive_noise_scale", "ip_noise_gamma"})
    ss.put(unused, std::optional<double>());
  for (const char* unused :
       {"noise_offset_random_strength", "ip_noise_gamma_random_strength", "debiased_estimation"})
    ss.put(unused, false);
}

void put_data(Group ss, const DataFacts& data) {
  ss.put("num_train_images", data.train_images);
  ss.put("num_reg_images", data.reg_images);
  ss.put("num_validation_images", data.validation_images);
  ss.put("num_batches_per_epoch", data.batches_per_epoch);
  ss.put("batch_size_per_device", data.batch_size);
  ss.put("total_batch_size", data.total_batch_size);
  ss.put("resolution", join("(", data.width, ", ", data.height, ")"));
  ss.put("color_aug", false);
  ss.put("flip_aug", data.flip);
  ss.put("random_crop", data.random_crop);
  ss.put("shuffle_caption", data.shuffle_caption);
  ss.put("keep_tokens", data.keep_tokens);
  ss.put("caption_dropout_rate", data.caption_dropout_rate);
  ss.put("caption_dropout_every_n_epochs", std::int64_t{0});
  ss.put("caption_tag_dropout_rate", data.caption_tag_dropout_rate);
  ss.put("face_crop_aug_range", std::optional<double>());
  ss.put("enable_bucket", !data.buckets.empty());
  ss.put("bucket_no_upscale", data.bucket_no_upscale);
  ss.put("min_bucket_reso", data.min_bucket_side);
  ss.put("max_bucket_reso", data.max_bucket_side);
  ss.put("dataset_dirs", python_json(folders_json(data.folders)));
  ss.put("reg_dataset_dirs", python_json(folders_json(data.reg_folders)));
  ss.put("tag_frequency", python_json(tags_json(data.folders)));
  ss.put("bucket_info", python_json(buckets_json(data)));
}

void put_modelspec(Group spec, const KohyaFacts& facts) {
  const VersionFacts& version = facts_of(facts.model.version);
  const DescriptionFacts& d = facts.description;
  spec.put("sai_model_spec", "1.0.1");
  spec.put("architecture", std::string(version.architecture));
  spec.put("implementation", std::string(version.implementation));
  spec.put("prediction_type", std::string(version.prediction));
  spec.put("title", d.title.empty() ? facts.run.output_name : d.title);
  spec.put("resolution", join(facts.data.width, "x", facts.data.height));
  if (facts.run.finished_at > 0) spec.put("date", iso_date(facts.run.finished_at));
  spec.put_known("encoder_layer", facts.model.clip_skip);
  spec.put_known("author", d.author);
  spec.put_known("description", d.description);
  spec.put_known("license", d.license);
  spec.put_known("tags", d.tags);
  spec.put_known("trigger_phrase", d.trigger_phrase);
}

}  // namespace

std::string_view name_of(BaseVersion version) { return facts_of(version).name; }

MetadataTable kohya_metadata(const KohyaFacts& facts) {
  MetadataTable table;
  const Group ss(table, "ss_");
  put_run(ss, facts.run);
  put_model(ss, facts.model);
  put_network(ss, facts.network);
  put_optimizer(ss, facts.optimizer);
  put_objective(ss, facts.objective);
  put_data(ss, facts.data);
  put_modelspec(Group(table, "modelspec."), facts);
  return table;
}

}  // namespace rankine
