#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/workload.h"
#include "io/dataset/caption.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

struct CaptionFacts {
  std::size_t captions = 0, empty = 0, shortest = 0, longest = 0;  // in tokens
  double mean = 0;
  std::vector<std::pair<std::string, std::size_t>> too_long;  // picture, tokens
};

// Everything that is found, good and bad; filled part by part so that one fault hides no other.
struct Findings {
  std::vector<Problem> problems;
  std::vector<std::string> faults;  // of the run file or the model
  int exit_code = kFinished;
  std::string model;
  std::unique_ptr<LoadedModel> loaded;
  std::unique_ptr<ImageData> data;
  std::optional<CaptionFacts> captions;

  void fault(const std::string& message, int code) {
    faults.push_back(message);
    if (exit_code == kFinished) exit_code = code;
  }
};

std::vector<Problem> all_problems(const RunConfig& config) {
  DatasetOptions options;
  options.data_dir = config.data.train_data_dir;
  if (config.data.metadata_path) options.metadata_path = *config.data.metadata_path;
  if (config.data.reg_data_dir) options.regularisation_dir = *config.data.reg_data_dir;
  Dataset dataset = scan_dataset(options);
  check_images(dataset);
  return dataset.problems;
}

void check_data(const RunConfig& config, Findings& found) {
  ModelShape shape;
  try {
    shape = shape_of_model(config);
  } catch (const Error&) {
    // The model's own check says it; the pictures are looked at as for SD 1.x.
  }
  RunConfig lenient = config;
  lenient.data.on_bad_data = config::OnBadData::skip;
  try {
    found.data = std::make_unique<ImageData>(lenient, shape.side, shape.downscale);
    found.problems = found.data->problems();
  } catch (const IoError& e) {
    found.fault(e.what(), kBadData);
  } catch (const DataError& e) {  // nothing usable, or no structure: its message may leave some out
    found.fault(e.what(), kBadData);
    found.problems = all_problems(config);
  }
  const bool errors = std::any_of(found.problems.begin(), found.problems.end(),
                                  [](const Problem& p) { return p.severity == Severity::error; });
  if (errors && config.data.on_bad_data == config::OnBadData::fail && found.exit_code == kFinished) {
    found.exit_code = kBadData;
  }
}

void check_model(const RunConfig& config, const Context& c, Findings& found) {
  try {
    const std::vector<std::string> captions =
        found.data ? captions_of(*found.data) : std::vector<std::string>();
    found.loaded = std::make_unique<LoadedModel>(load_model(c, config, tokenizer_search(), captions));
    found.model = fmt::format("{} ({})", found.loaded->name, name_of(found.loaded->sd->family()));
  } catch (const ConfigError& e) {
    found.fault(e.what(), kWrongConfig);
  } catch (const DataError& e) {
    found.fault(e.what(), kBadData);
  }
}

void check_captions(const RunConfig& config, Findings& found) {
  if (!found.data || !found.loaded) return;
  CaptionOptions options;
  options.prefix = config.data.caption_prefix;
  options.suffix = config.data.caption_suffix;
  CaptionFacts facts;
  std::size_t sum = 0;
  for (const Sample& sample : found.data->samples()) {
    const std::string caption = process_caption(sample.caption, options, 0, [] { return 0.5; });
    const std::size_t tokens = found.loaded->sd->text.tokenizer->encode(caption).size();
    facts.shortest = facts.captions == 0 ? tokens : std::min(facts.shortest, tokens);
    facts.longest = std::max(facts.longest, tokens);
    facts.empty += tokens == 0 ? 1 : 0;
    ++facts.captions;
    sum += tokens;
    if (tokens > static_cast<std::size_t>(config.data.max_token_length))
      facts.too_long.emplace_back(sample.id, tokens);
  }
  if (facts.captions > 0) facts.mean = static_cast<double>(sum) / static_cast<double>(facts.captions);
  found.captions = facts;
}

std::int64_t steps_of_pictures(const RunConfig& config, ImageData& data) {
  return steps_of_run(config, data.steps_per_epoch(), [&](std::int64_t step) { return data.epoch_of(step); });
}

Json to_json(const RunConfig& config, const Findings& found) {
  Json problems = Json::array(), buckets = Json::array(), long_captions = Json::array();
  for (const Problem& p : found.problems) {
    problems.push_back({{"severity", p.severity == Severity::error ? "error" : "warning"},
                        {"file", p.file},
                        {"line", p.line},
                        {"text", p.text}});
  }
  Json json = {{"ok", found.exit_code == kFinished},
               {"faults", found.faults},
               {"problems", problems},
               {"model", found.model}};
  if (found.data) {
    const std::vector<int> counts = found.data->bucket_counts();
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const Bucket& b = found.data->buckets()[i];
      buckets.push_back({{"width", b.width}, {"height", b.height}, {"visits", counts[i]}});
    }
    json["pictures"] = found.data->train_pictures();
    json["regularisation_pictures"] = found.data->samples().size() - found.data->train_pictures();
    json["held_out"] = found.data->held_out() ? found.data->validation().size() : 0;
    json["buckets"] = buckets;
    json["steps_per_epoch"] = found.data->steps_per_epoch();
    json["steps"] = steps_of_pictures(config, *found.data);
  }
  if (found.captions) {
    for (const auto& [id, tokens] : found.captions->too_long)
      long_captions.push_back({{"picture", id}, {"tokens", tokens}});
    json["captions"] = {{"count", found.captions->captions},
                        {"empty", found.captions->empty},
                        {"shortest_tokens", found.captions->shortest},
                        {"mean_tokens", found.captions->mean},
                        {"longest_tokens", found.captions->longest},
                        {"token_limit", config.data.max_token_length},
                        {"too_long", long_captions}};
  }
  return json;
}

void print_captions(const RunConfig& config, const CaptionFacts& facts) {
  fmt::print("captions  {}, of {} to {} tokens, {:.1f} on average; {} empty\n", facts.captions,
             facts.shortest, facts.longest, facts.mean, facts.empty);
  if (facts.too_long.empty()) return;
  fmt::print("          {} are longer than {} tokens and will be cut:\n", facts.too_long.size(),
             config.data.max_token_length);
  for (const auto& [id, tokens] : facts.too_long) fmt::print("            {}: {} tokens\n", id, tokens);
}

void print_text(const RunConfig& config, const Findings& found) {
  if (!found.model.empty()) fmt::print("model     {}\n", found.model);
  if (found.data) {
    ImageData& data = *found.data;
    const std::vector<int> counts = data.bucket_counts();
    fmt::print("pictures  {}, {} for regularisation, {} held out\n", data.train_pictures(),
               data.samples().size() - data.train_pictures(), data.held_out() ? data.validation().size() : 0);
    for (std::size_t i = 0; i < counts.size(); ++i) {
      fmt::print("          {:>5} x {:<5} {:>6} visits an epoch\n", data.buckets()[i].width,
                 data.buckets()[i].height, counts[i]);
    }
    fmt::print("steps     {} an epoch, {} in all\n", data.steps_per_epoch(), steps_of_pictures(config, data));
  }
  if (found.captions) print_captions(config, *found.captions);
  for (const Problem& p : found.problems) {
    fmt::print("{}: {}\n", p.severity == Severity::error ? "error" : "warning", p.to_string());
  }
  if (found.exit_code == kFinished) fmt::print("All good.\n");
}

}  // namespace

int run_validate(const ValidateCommand& command, Console& console) {
  const RunConfig config = load_config(command.config);
  if (config.model.task_type == config::TaskType::text_generation)
    return validate_text(config, command, console);
  Runtime runtime(Device::cpu().planned(), Memory::kUnlimited, 1);
  const Context c(runtime);
  Findings found;
  check_data(config, found);
  check_model(config, c, found);
  check_captions(config, found);
  if (command.json) {
    fmt::print("{}\n", to_json(config, found).dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_text(config, found);
  }
  for (const std::string& fault : found.faults) console.error(fault);
  return found.exit_code;
}

}  // namespace rankine::app
