#include "io/config/checks.h"

#include <algorithm>
#include <filesystem>

namespace rankine::config {
namespace {

// Adds problems at the place of a key, or at the file as a whole when the key was not given.
class Checker {
 public:
  explicit Checker(Reader& reader) : reader_(reader) {}

  bool given(std::string_view key) const {  // by the user, not by a preset
    const auto found = reader_.seen.find(key);
    return found != reader_.seen.end() && found->second.layer != Layer::preset;
  }
  std::string place(std::string_view key) const {
    const auto found = reader_.seen.find(key);
    return found == reader_.seen.end() ? "a default" : reader_.problems.place(found->second.at);
  }
  void fail(std::string_view key, std::string message) {
    const auto found = reader_.seen.find(key);
    const Location at = found == reader_.seen.end() ? Location{file_source(), 0, 0} : found->second.at;
    reader_.problems.add(at, std::string(key), std::move(message));
  }
  void check(bool ok, std::string_view key, std::string message) {
    if (!ok) fail(key, std::move(message));
  }

 private:
  static constexpr int file_source() { return 0; }  // the run file is always the first source
  Reader& reader_;
};

// The key the user gave, if one of the two: messages point at what the user wrote.
std::string_view given_of(const Checker& c, std::string_view a, std::string_view b) {
  return c.given(a) ? a : b;
}

void check_required(const RunConfig& config, Checker& c) {
  for (const Field<RunConfig>& field : table_of<RunConfig>()) {
    const bool missing = field.info.required && !c.given(field.info.key);
    c.check(!missing, field.info.key, join("the key is missing; it is required: ", field.info.doc));
  }
  const bool from_nothing = config.model.new_model.has_value();
  c.check(from_nothing || c.given("base_model"), "base_model",
          "the key is missing; it is required (or new_model with method: full)");
  c.check(!from_nothing || !c.given("base_model"), "new_model",
          join("conflicts with base_model on ", c.place("base_model"), "; a new model starts from nothing"));
}

void check_model(const RunConfig& config, Checker& c) {
  const ModelSection& model = config.model;
  c.check(!model.new_model || model.method == Method::full, "new_model", "needs method: full");
  c.check(model.task_type != TaskType::autoencoder || model.method == Method::full, "task_type",
          "autoencoder needs method: full");
  for (const Field<RunConfig>& field : table_of<RunConfig>()) {
    if (has_effect(field.info, config) || !c.given(field.info.key)) continue;
    const bool by_method = field.info.lora_only && model.method == Method::full;
    c.fail(field.info.key, join("has no effect with ", by_method ? "method: full" : "task_type: ",
                                by_method ? "" : name_of(model.task_type), "; remove it"));
  }
}

void check_levels(Checker& c, const std::string& name, const std::vector<std::int64_t>& channel_mult) {
  constexpr std::size_t kMaxLevels = 8;
  c.check(!channel_mult.empty() && channel_mult.size() <= kMaxLevels, "new_model",
          join(name, ".channel_mult has ", channel_mult.size(), " levels; allowed: 1 to ", kMaxLevels));
}

void check_new_model(const NewModel& model, Checker& c) {
  const NewUnet& unet = model.unet;
  check_levels(c, "unet", unet.channel_mult);
  check_levels(c, "vae", model.vae.channel_mult);
  for (const std::int64_t level : unet.attention_levels) {
    if (level >= static_cast<std::int64_t>(unet.channel_mult.size())) {
      c.fail("new_model", join("unet.attention_levels names level ", level, ", but unet.channel_mult has ",
                               unet.channel_mult.size(), " levels, counted from 0"));
      continue;
    }
    const std::int64_t channels = unet.model_channels * unet.channel_mult[static_cast<std::size_t>(level)];
    c.check(channels % unet.num_heads == 0, "new_model",
            join("unet.num_heads is ", unet.num_heads, ", which does not divide the ", channels,
                 " channels of level ", level));
  }
  c.check(unet.context_dim == model.text_encoder.width, "new_model",
          join("unet.context_dim is ", unet.context_dim, " and text_encoder.width is ",
               model.text_encoder.width, "; they must be equal"));
  c.check(model.text_encoder.width % model.text_encoder.heads == 0, "new_model",
          join("text_encoder.heads is ", model.text_encoder.heads, ", which does not divide the width ",
               model.text_encoder.width));
}

bool same_folder(const std::string& a, const std::string& b) {
  const auto normal = [](const std::string& text) {
    return (std::filesystem::path(text) / "").lexically_normal();
  };
  return !a.empty() && normal(a) == normal(b);
}

void check_data(const RunConfig& config, Checker& c) {
  const DataSection& data = config.data;
  c.check(!data.reg_data_dir || !same_folder(*data.reg_data_dir, data.train_data_dir), "reg_data_dir",
          join("is the same folder as train_data_dir on ", c.place("train_data_dir"),
               "; class pictures must be other pictures"));
  c.check(!data.random_crop || !data.cache_latents, given_of(c, "random_crop", "cache_latents"),
          "random_crop needs cache_latents: false, because a cached latent has one fixed crop");
  if (!data.enable_bucket) return;
  c.check(data.min_bucket_side <= data.max_bucket_side, given_of(c, "min_bucket_side", "max_bucket_side"),
          join("min_bucket_side is ", data.min_bucket_side, " and max_bucket_side is ", data.max_bucket_side,
               "; the first must not be larger"));
  if (!data.resolution) return;
  const auto [low, high] = std::minmax(data.resolution->width, data.resolution->height);
  c.check(high <= data.max_bucket_side, given_of(c, "resolution", "max_bucket_side"),
          join("the resolution ", high, " is larger than max_bucket_side ", data.max_bucket_side));
  c.check(low >= data.min_bucket_side, given_of(c, "resolution", "min_bucket_side"),
          join("the resolution ", low, " is smaller than min_bucket_side ", data.min_bucket_side));
}

void check_adapter(const RunConfig& config, Checker& c) {
  const AdapterSection& adapter = config.adapter;
  c.check(adapter.train_text_encoder || !adapter.text_encoder_lr || !c.given("text_encoder_lr"),
          "text_encoder_lr", "has no effect without train_text_encoder: true");
  c.check(config.model.method == Method::full || adapter.lora_conv_rank > 0 || !adapter.lora_conv_alpha ||
              !c.given("lora_conv_alpha"),
          "lora_conv_alpha", "has no effect while lora_conv_rank is 0");
}

void check_text(const RunConfig& config, Checker& c) {
  c.check(!config.text.chat_template || !config.text.custom_template, "custom_template",
          join("conflicts with chat_template on ", c.place("chat_template"), "; keep one"));
  c.check(!config.text.validation_data || config.data.validation_split == 0, "validation_data",
          join("conflicts with validation_split on ", c.place("validation_split"), "; keep one"));
  c.check(config.adapter.lora_init != LoraInit::pissa || !config.adapter.init_lora, "lora_init",
          join("pissa conflicts with init_lora on ", c.place("init_lora"),
               "; an adapter that goes on has its start"));
}

void check_objective(const RunConfig& config, Checker& c) {
  const ObjectiveSection& objective = config.objective;
  c.check(objective.min_timestep < objective.max_timestep, given_of(c, "min_timestep", "max_timestep"),
          join("min_timestep is ", objective.min_timestep, " and max_timestep is ", objective.max_timestep,
               "; the first must be smaller"));
  c.check(
      !objective.zero_terminal_snr || objective.prediction_type != PredictionType::epsilon,
      "zero_terminal_snr",
      "cannot work with prediction_type: epsilon, which learns nothing from pure noise; use v_prediction");
  const bool half = config.machine.compute_dtype == ComputeDtype::fp16 ||
                    config.machine.compute_dtype == ComputeDtype::bf16;
  c.check(!half || config.machine.device.kind != DeviceChoice::Kind::cpu, "compute_dtype",
          "a CPU computes in fp32; use auto or fp32, or another device");
}

}  // namespace

void check_run_config(const RunConfig& config, Reader& reader) {
  Checker checker(reader);
  check_required(config, checker);
  check_model(config, checker);
  if (config.model.new_model && config.model.task_type != TaskType::text_generation)
    check_new_model(*config.model.new_model, checker);
  check_data(config, checker);
  check_text(config, checker);
  check_adapter(config, checker);
  check_objective(config, checker);
}

}  // namespace rankine::config
