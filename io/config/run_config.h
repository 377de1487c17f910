// The run file: one YAML file says everything about a training run.
//
// Every key, its default, unit, range and meaning stand in one table (fields_*.cpp). From that table come the
// parser, the checks, the JSON Schema, the echo of the effective configuration and docs/configuration.md; the
// comments here are only a reminder. Defaults are the member initialisers below.
//
// Values are layered: defaults < preset < run file < --set. Relative paths mean: relative to the current
// working directory of the process, not to the folder of the run file. Nothing here touches the paths or
// loads anything.
//
// Errors: all of them at once in one InvalidRunConfig (a ConfigError), see problems.h.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/config/enums.h"
#include "io/config/problems.h"

namespace rankine::config {

struct Resolution {  // pixels
  std::int64_t width = 512;
  std::int64_t height = 512;
  bool operator==(const Resolution&) const = default;
};

// Written as a whole number (steps) or as a decimal in (0, 1) (share of all optimizer steps).
struct Warmup {
  std::int64_t steps = 0;
  double fraction = 0.05;                                 // used when not 0
  std::int64_t steps_of(std::int64_t total_steps) const;  // rounded down, at most total_steps
  bool operator==(const Warmup&) const = default;
};

struct DeviceChoice {
  enum class Kind { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  int index = 0;  // of the CUDA device
  bool operator==(const DeviceChoice&) const = default;
};

struct MemoryBudget {
  std::uint64_t bytes = 0;  // 0: automatic
  bool operator==(const MemoryBudget&) const = default;
};

// A preview. What is not set comes from sample_* keys, the resolution and the seed of the run.
struct SamplePrompt {
  std::string prompt;
  std::string negative;
  std::optional<std::int64_t> width, height;  // pixels
  std::optional<std::int64_t> steps;          // denoising steps
  std::optional<double> cfg;
  std::optional<std::int64_t> seed;
  std::optional<Sampler> sampler;
  bool operator==(const SamplePrompt&) const = default;
};

// Sizes of a model that is trained from nothing (method: full without base_model).
struct NewUnet {
  std::int64_t model_channels = 64;
  std::vector<std::int64_t> channel_mult = {1, 2, 4};
  std::int64_t num_res_blocks = 1;
  std::vector<std::int64_t> attention_levels = {1, 2};  // indices into channel_mult
  std::int64_t num_heads = 8;
  std::int64_t context_dim = 128;
  bool operator==(const NewUnet&) const = default;
};
struct NewVae {
  std::int64_t channels = 32;
  std::vector<std::int64_t> channel_mult = {1, 2, 4, 4};
  std::int64_t num_res_blocks = 1;
  std::int64_t latent_channels = 4;
  bool operator==(const NewVae&) const = default;
};
struct NewTextEncoder {
  std::int64_t width = 128;
  std::int64_t layers = 2;
  std::int64_t heads = 2;
  bool operator==(const NewTextEncoder&) const = default;
};
struct NewDecoder {
  std::int64_t vocab = 512;
  std::int64_t width = 128;
  std::int64_t mlp = 352;
  std::int64_t layers = 4;
  std::int64_t heads = 4;
  std::int64_t kv_heads = 4;
  std::int64_t context = 512;
  double rope_theta = 10000;
  bool tied_head = false;
  bool operator==(const NewDecoder&) const = default;
};
struct NewModel {
  std::int64_t norm_groups = 32;
  NewUnet unet;
  NewVae vae;
  NewTextEncoder text_encoder;
  NewDecoder decoder;
  bool operator==(const NewModel&) const = default;
};

struct ModelSection {
  std::string base_model;                // required unless new_model is given
  std::optional<std::string> vae;        // other VAE than the one in base_model
  std::optional<std::string> tokenizer;  // CLIP merges file, or a language model's vocabulary
  TaskType task_type = TaskType::text_to_image;
  Method method = Method::lora;
  std::optional<std::string> preset;
  std::optional<NewModel> new_model;
  BaseQuantisation quantise_base = BaseQuantisation::none;
  std::optional<double> rope_theta;  // not set: as the model file says
  std::optional<double> norm_eps;
  std::optional<std::int64_t> context_length;  // tokens
  bool operator==(const ModelSection&) const = default;
};

struct DataSection {
  std::string train_data_dir;  // required
  std::optional<std::string> metadata_path;
  std::optional<std::string> reg_data_dir;  // class pictures for prior preservation
  double prior_loss_weight = 1.0;
  std::optional<Resolution> resolution;  // not set: the base model's own
  bool enable_bucket = true;
  std::int64_t min_bucket_side = 256;   // pixels
  std::int64_t max_bucket_side = 2048;  // pixels
  std::int64_t bucket_step = 64;        // pixels
  bool bucket_no_upscale = false;
  bool flip = false;
  bool random_crop = false;
  bool caption_shuffle = false;
  std::int64_t keep_tokens = 0;
  std::string caption_separator = ",";
  double caption_dropout = 0;
  double caption_tag_dropout = 0;
  std::string caption_prefix;
  std::string caption_suffix;
  std::int64_t max_token_length = 75;
  std::int64_t clip_skip = 1;
  OnBadData on_bad_data = OnBadData::fail;
  bool cache_latents = true;
  std::optional<std::string> cache_dir;
  double validation_split = 0;
  std::int64_t validation_steps = 100;  // optimizer steps
  bool operator==(const DataSection&) const = default;
};

// A chat template of the user's own; places in braces as in io/dataset/chat_template.h.
struct CustomTemplate {
  std::string begin = "{bos?}";  // once, at the start
  std::string system;            // where there is a system text
  std::string user = "{user}";
  std::string assistant = "{assistant}";
  std::string stop;  // token that ends an answer; empty: the vocabulary's end of text
  bool operator==(const CustomTemplate&) const = default;
};

struct TextSection {
  std::optional<std::string> chat_template;  // not set: chosen by the model
  std::optional<CustomTemplate> custom_template;
  std::optional<std::string> system_prompt;  // for rows without one of their own
  std::int64_t max_length = 1024;            // tokens
  Truncation truncation = Truncation::prompt;
  bool packing = false;
  bool train_on_prompt = false;
  bool train_on_history = true;  // all answers of a conversation, not the last alone
  std::optional<std::string> instruction_key, input_key, output_key;
  std::optional<std::string> validation_data;
  std::int64_t max_new_tokens = 128;
  double temperature = 0;  // 0: greedy
  double top_p = 1;
  std::int64_t top_k = 0;  // 0: off
  bool operator==(const TextSection&) const = default;
};

struct AdapterSection {
  std::int64_t lora_rank = 8;
  std::optional<double> lora_alpha;  // not set: lora_rank
  std::int64_t lora_conv_rank = 0;   // 0: 3x3 convolutions get no adapter
  std::optional<double> lora_conv_alpha;
  double lora_dropout = 0;
  double lora_rank_dropout = 0;
  double lora_module_dropout = 0;
  bool use_rslora = false;
  bool use_dora = false;
  LoraInit lora_init = LoraInit::standard;
  double lora_plus_ratio = 1;
  bool train_text_encoder = false;
  std::optional<double> text_encoder_lr;  // not set: learning_rate
  std::vector<std::string> target_modules;
  std::optional<std::string> init_lora;
  double alpha() const { return lora_alpha.value_or(static_cast<double>(lora_rank)); }
  double conv_alpha() const { return lora_conv_alpha.value_or(static_cast<double>(lora_conv_rank)); }
  bool operator==(const AdapterSection&) const = default;
};

struct OptimSection {
  std::int64_t batch_size = 1;
  std::int64_t gradient_accumulation = 1;
  std::optional<std::int64_t> epochs;     // neither epochs nor max_steps: 10 epochs (filled in by the loader)
  std::optional<std::int64_t> max_steps;  // optimizer steps; never set together with epochs
  double learning_rate = 1e-4;
  Optimizer optimizer = Optimizer::adamw;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0.01;
  LrScheduler lr_scheduler = LrScheduler::cosine;
  Warmup lr_warmup_steps;
  std::int64_t lr_cycles = 1;
  double lr_power = 1;
  double max_grad_norm = 1;  // 0: no clipping
  double ema_decay = 0;      // 0: off
  std::int64_t seed = 42;
  bool operator==(const OptimSection&) const = default;
};

struct ObjectiveSection {
  PredictionType prediction_type = PredictionType::automatic;
  double min_snr_gamma = 0;  // 0: off
  double noise_offset = 0;
  bool zero_terminal_snr = false;
  LossType loss = LossType::mse;
  double huber_c = 0.1;
  double kl_weight = 1e-6;  // autoencoder only
  std::int64_t min_timestep = 0;
  std::int64_t max_timestep = 1000;  // timesteps are drawn from [min_timestep, max_timestep)
  bool operator==(const ObjectiveSection&) const = default;
};

struct OutputSection {
  std::string output_dir;             // required
  std::int64_t save_steps = 500;      // optimizer steps; 0: only at the end
  std::int64_t keep_checkpoints = 3;  // 0: all
  SaveDtype save_dtype = SaveDtype::fp16;
  std::optional<std::string> save_name;  // not set: adapter, or model with method: full
  std::vector<SamplePrompt> sample_prompts;
  std::int64_t sample_steps = 0;  // optimizer steps between previews; 0: only before and after training
  Sampler sample_sampler = Sampler::euler;
  double sample_cfg = 7;
  std::int64_t sample_count_steps = 25;  // denoising steps of one preview
  bool operator==(const OutputSection&) const = default;
};

struct MachineSection {
  DeviceChoice device;
  std::int64_t threads = 0;  // 0: all cores
  MemoryBudget memory_budget;
  MemoryUse recompute = MemoryUse::automatic;
  MemoryUse paging = MemoryUse::automatic;
  MemoryUse weight_streaming = MemoryUse::automatic;
  MemoryBudget page_memory;             // of the host, for pages and streamed weights of a CUDA device
  std::optional<std::string> page_dir;  // not set: output_dir
  ComputeDtype compute_dtype = ComputeDtype::automatic;
  bool operator==(const MachineSection&) const = default;
};

struct RunConfig {
  ModelSection model;
  DataSection data;
  TextSection text;
  AdapterSection adapter;
  OptimSection optim;
  ObjectiveSection objective;
  OutputSection output;
  MachineSection machine;
  bool operator==(const RunConfig&) const = default;
};

inline constexpr std::uint64_t kMaxRunFileBytes = 1U << 20;

// Reads and checks a run file. `overrides` are the texts after --set: "key=value", nested keys with dots; the
// value is YAML ("resolution=[768,512]"), or plain text for a key whose type is text.
// Throws InvalidRunConfig with every problem found, IoError when the file cannot be read.
RunConfig load_run_config(const std::filesystem::path& file, const std::vector<std::string>& overrides = {});

// The same from memory; `name` stands for the file in messages.
RunConfig parse_run_config(std::string_view yaml, std::string_view name,
                           const std::vector<std::string>& overrides = {});

// The effective configuration as a run file: parse_run_config(to_yaml(c)) == c, except that `preset` is
// written as a comment, because its values are already in place.
std::string to_yaml(const RunConfig& config);

// One flat list of (key, value as YAML text) in table order; unset optional keys are left out.
std::vector<std::pair<std::string, std::string>> to_key_values(const RunConfig& config);

// JSON Schema (draft 2020-12) of the run file, for editors. Ends with a newline.
std::string run_config_schema();

// docs/configuration.md, complete.
std::string config_reference_markdown();

}  // namespace rankine::config

namespace rankine {
using config::load_run_config;
using config::parse_run_config;
using config::RunConfig;
}  // namespace rankine
