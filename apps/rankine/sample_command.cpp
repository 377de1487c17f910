#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/device_choice.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/prompts_file.h"
#include "apps/rankine/sample_grid.h"
#include "apps/rankine/stop_signals.h"
#include "io/image/encode.h"
#include "io/record/run_folder.h"
#include "models/sd/lora_network.h"
#include "models/tasks/adapter_metadata.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

constexpr const char* kNoLora = "none";

struct Sampling {
  RunConfig config;  // model, vocabulary, machine
  std::optional<fs::path> adapter;
  std::vector<PictureRequest> pictures;
};

RunConfig config_of(const SampleCommand& command) {
  RunConfig config;
  if (!command.config.file.empty()) {
    config = load_config(command.config);
  } else {
    require<ConfigError>(command.model.has_value(), "sample: name a run file, or a model with --model");
  }
  if (command.model) {
    config.model.base_model = *command.model;
  } else if (config.model.method == config::Method::full) {
    // What the run made; before that, what it starts from.
    const fs::path made = fs::path(config.output.output_dir) / result_name(config);
    if (fs::exists(made)) config.model.base_model = made.string();
    require<ConfigError>(!config.model.base_model.empty(), made.string(),
                         ": not there yet; train first, or use --model");
  }
  config.model.new_model.reset();
  return config;
}

std::optional<fs::path> adapter_of(const SampleCommand& command, const RunConfig& config) {
  if (command.lora) return *command.lora == kNoLora ? std::nullopt : std::optional<fs::path>(*command.lora);
  if (command.config.file.empty() || config.model.method == config::Method::full) return std::nullopt;
  const fs::path made = fs::path(config.output.output_dir) / result_name(config);
  require<ConfigError>(fs::exists(made), made.string(),
                       ": the run has no adapter yet; train first, or use --lora");
  return made;
}

int side_of(const std::string& text, const std::string& all) {
  int side = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), side);
  require<ConfigError>(error == std::errc() && end == text.data() + text.size() && side > 0, "--size: '", all,
                       "' is not a size; write 512 or 512x768");
  return side;
}

ImageSize size_of(const std::string& text) {
  const std::size_t x = text.find('x');
  if (x == std::string::npos) return {side_of(text, text), side_of(text, text)};
  return {side_of(text.substr(0, x), text), side_of(text.substr(x + 1), text)};
}

// The request of one preview of the run file.
PictureRequest request_of(const config::SamplePrompt& p, const RunConfig& config, int side) {
  const config::Resolution square{side, side};
  const config::Resolution r = config.data.resolution.value_or(square);
  PictureRequest request;
  request.prompt = p.prompt;
  request.negative = p.negative;
  request.width = static_cast<int>(p.width.value_or(r.width));
  request.height = static_cast<int>(p.height.value_or(r.height));
  request.steps = static_cast<int>(p.steps.value_or(config.output.sample_count_steps));
  request.cfg = p.cfg.value_or(config.output.sample_cfg);
  request.seed = static_cast<std::uint64_t>(p.seed.value_or(config.optim.seed));
  request.sampler = sampler_name_of(p.sampler.value_or(config.output.sample_sampler));
  request.max_tokens = static_cast<int>(config.data.max_token_length);
  return request;
}

void apply_options(PictureRequest& request, const SampleCommand& o, std::size_t index) {
  if (!o.negative.empty()) request.negative = o.negative;
  if (o.steps) request.steps = *o.steps;
  if (o.cfg) request.cfg = *o.cfg;
  if (o.seed) request.seed = *o.seed + index;
  if (o.sampler) request.sampler = parse_sampler(*o.sampler);
  if (!o.size) return;
  request.width = size_of(*o.size).width;
  request.height = size_of(*o.size).height;
}

std::vector<PictureRequest> requests_of(const SampleCommand& command, const RunConfig& config) {
  std::vector<config::SamplePrompt> prompts;
  std::vector<std::string> texts = command.prompts;
  if (command.prompts_file) {
    const std::vector<std::string> more = read_prompts(*command.prompts_file);
    texts.insert(texts.end(), more.begin(), more.end());
  }
  for (const std::string& text : texts) {
    config::SamplePrompt p;
    p.prompt = text;
    prompts.push_back(p);
  }
  if (prompts.empty()) prompts = config.output.sample_prompts;
  require<ConfigError>(!prompts.empty(), "sample: nothing to draw; use --prompt or --prompts");
  const int side = shape_of_model(config).side;
  std::vector<PictureRequest> requests;
  for (const config::SamplePrompt& p : prompts) {
    requests.push_back(request_of(p, config, side));
    apply_options(requests.back(), command, requests.size() - 1);
    requests.back().stop = StopFlag(StopSignals::requested());
  }
  return requests;
}

// Both keep their storage as long as `network`, which the model refers to.
void attach_adapter(const Context& c, StableDiffusion& sd, LoraNetwork& network, const fs::path& file,
                    double strength) {
  const AdapterFile adapter = read_adapter(file);
  const LoraChooser choose = chooser_from_file(adapter);
  network.attach(sd.unet, choose);
  const int encoders = static_cast<int>(sd.text.encoders.size());
  for (int i = 0; i < encoders; ++i)
    network.attach(*sd.text.encoders[static_cast<std::size_t>(i)].model, i, encoders, choose);
  network.allocate(c);
  network.from_file(adapter);
  network.set_strength(static_cast<float>(strength));
}

std::string picture_name(std::size_t index, const std::string& prompt) {
  constexpr std::size_t kLongest = 40;
  return fmt::format("{:05}-{}.png", index + 1, safe_name(prompt.substr(0, kLongest)));
}

}  // namespace

int run_sample(const SampleCommand& command, Console& console) {
  const StopSignals signals;
  Sampling sampling;
  sampling.config = config_of(command);
  sampling.adapter = adapter_of(command, sampling.config);
  sampling.pictures = requests_of(command, sampling.config);

  const auto runtime = make_runtime(sampling.config.machine, memory_budget(sampling.config.machine));
  const Context c(*runtime);
  const LoadedModel model = load_model(c, sampling.config, tokenizer_search(), {});
  LoraNetwork network;
  std::string extra;
  if (sampling.adapter) {
    attach_adapter(c, *model.sd, network, *sampling.adapter, command.strength);
    extra =
        fmt::format("Lora: {}, Lora strength: {}", sampling.adapter->filename().string(), command.strength);
  }
  console.info(fmt::format("Drawing {} pictures with {}{}", sampling.pictures.size(), model.name,
                           sampling.adapter ? " and " + sampling.adapter->string() : ""));
  const NoiseSchedule schedule = noise_schedule_for(sampling.config, *model.sd);
  fs::create_directories(command.out);
  std::vector<Image> images;
  std::vector<std::string> prompts;
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < sampling.pictures.size(); ++i) {
    PictureRequest& request = sampling.pictures[i];
    request.warn = [&](const std::string& message) { console.warn(message); };
    console.progress(fmt::format("picture {}/{}: {}", i + 1, sampling.pictures.size(), request.prompt));
    images.push_back(generate_picture(c, *model.sd, schedule, request));
    prompts.push_back(request.prompt);
    const fs::path file = fs::path(command.out) / picture_name(i, request.prompt);
    const PngText text = parameters_text(request, model.name, extra);
    write_png(file, images.back(), std::span(&text, 1));
    json.push_back({{"file", file.string()}, {"prompt", request.prompt}, {"seed", request.seed}});
    if (!command.json) fmt::print("{}\n", file.string());
  }
  console.clear_progress();
  if (command.json)
    fmt::print("{}\n", json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  if (command.grid) write_png(*command.grid, captioned_grid(prompts, images));
  return kFinished;
}

}  // namespace rankine::app
