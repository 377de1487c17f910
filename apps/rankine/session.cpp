#include "apps/rankine/session.h"

#include <cstdlib>

#include "apps/rankine/device_choice.h"
#include "models/tasks/autoencoder_task.h"
#include "models/tasks/base_shape.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

void require_supported(const RunConfig& config, const std::string& file) {
  require<ConfigError>(!is_shape(config.model.base_model), file, ": base_model: ", config.model.base_model,
                       " is sizes without weights; plan alone can use it");
  try {
    compute_choice(config.machine);
  } catch (const ConfigError& e) {
    throw ConfigError(join(file, ": ", e.what()));
  }
}

}  // namespace

ConfigArgs with_settings(ConfigArgs args, const std::vector<std::string>& settings) {
  args.overrides.insert(args.overrides.end(), settings.begin(), settings.end());
  return args;
}

RunConfig load_config(const ConfigArgs& args) {
  RunConfig config = load_run_config(args.file, args.overrides);
  require_supported(config, args.file);
  return config;
}

TokenizerSearch tokenizer_search() {
  TokenizerSearch search;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) search.folders.push_back((program.parent_path() / "../share/rankine/clip").lexically_normal());
  search.folders.emplace_back("/usr/share/rankine/clip");
  if (const char* share = std::getenv("RANKINE_SHARE")) search.folders.push_back(fs::path(share) / "clip");
  return search;
}

ModelShape shape_of_model(const RunConfig& config) {
  constexpr config::Resolution kNewModelSide{64, 64};
  if (config.model.new_model) {
    VaeConfig vae;
    vae.channel_mult.assign(config.model.new_model->vae.channel_mult.begin(),
                            config.model.new_model->vae.channel_mult.end());
    return {static_cast<int>(config.data.resolution.value_or(kNewModelSide).width), vae.downscale()};
  }
  const SdCheckpoint checkpoint = sd_checkpoint_of(config);
  return {checkpoint.native_side, checkpoint.vae_config.downscale()};
}

std::unique_ptr<ImageData> load_data(const RunConfig& config) {
  const ModelShape shape = shape_of_model(config);
  return std::make_unique<ImageData>(config, shape.side, shape.downscale);
}

std::vector<std::string> captions_of(const ImageData& data) {
  std::vector<std::string> captions;
  for (const Sample& sample : data.samples()) captions.push_back(sample.caption);
  return captions;
}

RunTask make_task(const RunConfig& config, LoadedModel model, std::unique_ptr<ImageData> data) {
  RunTask out;
  if (config.model.task_type == config::TaskType::autoencoder) {
    out.task = std::make_unique<AutoencoderTask>(config, std::move(model), std::move(data));
    return out;
  }
  auto task = std::make_unique<DiffusionTask>(config, std::move(model), std::move(data));
  out.diffusion = task.get();
  out.task = std::move(task);
  return out;
}

std::string result_name(const RunConfig& config) {
  const bool lora = config.model.method == config::Method::lora;
  const bool text =
      config.model.task_type == config::TaskType::text_generation;  // a folder, as PEFT and HF have it
  return config.output.save_name.value_or(lora ? "adapter" : "model") + (text ? "" : ".safetensors");
}

fs::path page_dir_of(const RunConfig& config) {
  return config.machine.page_dir.value_or(config.output.output_dir);
}

TrainOptions train_options(const RunConfig& config, std::int64_t max_steps) {
  const config::OptimSection& optim = config.optim;
  TrainOptions o;
  o.run_dir = config.output.output_dir;
  o.result_name = result_name(config);
  o.max_steps = max_steps;
  o.adamw = {optim.beta1, optim.beta2, optim.eps, optim.weight_decay};
  o.schedule.kind = optim.lr_scheduler;
  o.schedule.learning_rate = optim.learning_rate;
  o.schedule.warmup_steps = optim.lr_warmup_steps.steps_of(max_steps);
  o.schedule.cycles = static_cast<double>(optim.lr_cycles);
  o.schedule.power = optim.lr_power;
  o.max_grad_norm = optim.max_grad_norm;
  o.ema_decay = optim.ema_decay;
  o.save_steps = config.output.save_steps;
  o.keep_checkpoints = config.output.keep_checkpoints;
  o.preview_steps = config.output.sample_steps;
  o.validation_steps = config.data.validation_steps;
  o.seed = static_cast<std::uint64_t>(optim.seed);
  return o;
}

}  // namespace rankine::app
