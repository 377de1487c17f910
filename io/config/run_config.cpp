#include "io/config/run_config.h"

#include <algorithm>
#include <fstream>

#include "io/config/checks.h"
#include "io/config/codec.h"
#include "io/config/presets.h"

namespace rankine::config {
namespace {

constexpr std::int64_t kDefaultEpochs = 10;

// --set key=value as the tree of a one-key file. The value starts at its own column of the text, so that
// places in messages are right.
YamlNode parse_value(const std::string& text, std::size_t value_at, int source, Problems& problems) {
  return parse_yaml(std::string(value_at, ' ') + text.substr(value_at), source, problems);
}

// Keys whose type is text take the value literally, unless it is quoted: a prompt may hold ':' and '#'.
bool takes_literal_text(const std::string& key, const std::string& text, std::size_t value_at) {
  const bool empty = value_at >= text.size();
  if (!empty && (text[value_at] == '"' || text[value_at] == '\'')) return false;
  for (const Field<RunConfig>& field : table_of<RunConfig>())
    if (field.info.key == key) return field.is_text && !(empty && field.optional);
  return false;
}

YamlNode map_of(const std::string& key, YamlNode value) {
  YamlNode map;
  map.kind = YamlNode::Kind::map;
  map.at = value.at;
  map.entries.push_back({key, value.at, std::move(value)});
  return map;
}

// Adds problems, and returns a null node, when the text is no "key=value".
YamlNode parse_override(const std::string& text, Problems& problems) {
  const int source = problems.add_source("--set", text, false);
  const Location start{source, 1, 1};
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    problems.add(start, "", "expected key=value, for example --set lora_rank=16");
    return {};
  }
  std::string key = text.substr(0, equals);
  YamlNode value;
  if (takes_literal_text(key, text, equals + 1)) {
    value.kind = YamlNode::Kind::scalar;
    value.text = text.substr(equals + 1);
  } else {
    value = parse_value(text, equals + 1, source, problems);
  }
  value.at = {source, 1, static_cast<int>(equals) + 2};
  for (std::size_t dot = key.rfind('.'); dot != std::string::npos; dot = key.rfind('.')) {
    value = map_of(key.substr(dot + 1), std::move(value));
    key.erase(dot);
  }
  YamlNode map = map_of(key, std::move(value));
  map.entries.front().at = start;
  return map;
}

const YamlEntry* find_entry(const YamlNode& map, std::string_view key) {
  for (const YamlEntry& entry : map.entries)
    if (entry.key == key) return &entry;
  return nullptr;
}

// The name of the preset that the highest layer asks for. A wrong name is reported by the reader of that
// layer.
std::string wanted_preset(const YamlNode& file, const std::vector<YamlNode>& overrides) {
  const YamlEntry* found = find_entry(file, "preset");
  for (const YamlNode& node : overrides)
    if (const YamlEntry* entry = find_entry(node, "preset")) found = entry;
  return found != nullptr ? found->value.text : "";
}

// epochs and max_steps are two ways to say one thing: the higher layer wins, within a layer they conflict.
void settle_length(RunConfig& config, Reader& reader) {
  const auto epochs = reader.seen.find("epochs");
  const auto steps = reader.seen.find("max_steps");
  if (epochs != reader.seen.end() && steps != reader.seen.end() && config.optim.epochs &&
      config.optim.max_steps) {
    if (epochs->second.layer == steps->second.layer) {
      reader.problems.add(
          steps->second.at, "max_steps",
          join("conflicts with epochs on ", reader.problems.place(epochs->second.at), "; keep one"));
    } else if (epochs->second.layer < steps->second.layer) {
      config.optim.epochs.reset();
    } else {
      config.optim.max_steps.reset();
    }
  }
  if (!config.optim.epochs && !config.optim.max_steps) config.optim.epochs = kDefaultEpochs;
}

// Bucket sides that nobody gave make room for the resolution.
void settle_buckets(DataSection& data, const Reader& reader) {
  if (!data.resolution) return;
  const auto sides = std::minmax(data.resolution->width, data.resolution->height);
  if (reader.seen.count("min_bucket_side") == 0)
    data.min_bucket_side = std::min(data.min_bucket_side, sides.first);
  if (reader.seen.count("max_bucket_side") == 0)
    data.max_bucket_side = std::max(data.max_bucket_side, sides.second);
}

// An alpha chosen by a preset belongs to the preset's rank: beside the user's own rank it would be another
// scale.
void settle_alpha(AdapterSection& adapter, const Reader& reader) {
  const auto from_preset = [&reader](const char* key) {
    const auto found = reader.seen.find(key);
    return found == reader.seen.end() || found->second.layer == Layer::preset;
  };
  if (!from_preset("lora_rank") && from_preset("lora_alpha")) adapter.lora_alpha.reset();
  if (!from_preset("lora_conv_rank") && from_preset("lora_conv_alpha")) adapter.lora_conv_alpha.reset();
}

// Values that mean nothing beside others.
void drop_unused(RunConfig& config) {
  if (!config.adapter.train_text_encoder) config.adapter.text_encoder_lr.reset();
  if (config.adapter.lora_conv_rank == 0) config.adapter.lora_conv_alpha.reset();
  if (config.model.method != Method::full) return;
  AdapterSection kept;
  kept.train_text_encoder = config.adapter.train_text_encoder;
  kept.text_encoder_lr = config.adapter.text_encoder_lr;
  config.adapter = std::move(kept);
}

void read_layer(const YamlNode& node, Layer layer, RunConfig& config, Reader& reader) {
  reader.layer = layer;
  if (node.kind == YamlNode::Kind::null || node.kind == YamlNode::Kind::map)
    return read_map(node, config, reader, "");
  reader.problems.add(node.at, "", "expected a map of keys and values, got " + describe_node(node));
}

}  // namespace

template <>
const Table<RunConfig>& table_of() {
  static const Table<RunConfig> table = [] {
    Table<RunConfig> all;
    const auto add = [&all](const char* section, Table<RunConfig> fields) {
      for (Field<RunConfig>& field : fields) {
        field.section = section;
        all.push_back(std::move(field));
      }
    };
    add("Model", model_fields());
    add("Data", data_fields());
    add("Text", text_fields());
    add("Adapter", adapter_fields());
    add("Optimisation", optim_fields());
    add("Objective", objective_fields());
    add("Output", output_fields());
    add("Machine", machine_fields());
    return all;
  }();
  return table;
}

bool has_effect(const FieldInfo& info, const RunConfig& config) {
  const bool text = config.model.task_type == TaskType::text_generation;
  if (info.lora_only && config.model.method == Method::full) return false;
  return info.of == KeyOf::every_task || text == (info.of == KeyOf::text_task);
}

std::int64_t Warmup::steps_of(std::int64_t total_steps) const {
  if (fraction == 0) return std::min(steps, total_steps);
  return static_cast<std::int64_t>(fraction * static_cast<double>(total_steps));
}

RunConfig parse_run_config(std::string_view yaml, std::string_view name,
                           const std::vector<std::string>& overrides) {
  Problems problems;
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (yaml.substr(0, kByteOrderMark.size()) == kByteOrderMark) yaml.remove_prefix(kByteOrderMark.size());
  // The size is checked by parse_yaml before anything else looks at the text.
  const int source = problems.add_source(std::string(name), yaml.substr(0, kMaxRunFileBytes), true);
  const YamlNode file = parse_yaml(yaml, source, problems);
  std::vector<YamlNode> sets;
  sets.reserve(overrides.size());
  for (const std::string& text : overrides) sets.push_back(parse_override(text, problems));

  RunConfig config;
  Reader reader{problems};
  if (const Preset* preset = find_preset(wanted_preset(file, sets))) {
    const int at = problems.add_source(join("preset ", preset->name), preset->yaml, true);
    read_layer(parse_yaml(preset->yaml, at, problems), Layer::preset, config, reader);
  }
  read_layer(file, Layer::file, config, reader);
  for (const YamlNode& node : sets) read_layer(node, Layer::override_, config, reader);
  settle_length(config, reader);
  settle_buckets(config.data, reader);
  settle_alpha(config.adapter, reader);
  check_run_config(config, reader);
  problems.throw_if_any();
  drop_unused(config);
  return config;
}

RunConfig load_run_config(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  std::error_code error;
  require<IoError>(!std::filesystem::is_directory(file, error), file.string(),
                   ": expected a run file, this is a folder");
  std::ifstream in(file, std::ios::binary);
  require<IoError>(in.good(), file.string(), ": cannot open the run file");
  std::string text(kMaxRunFileBytes + 1, '\0');  // one more than allowed, so that a longer file is noticed
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  require<IoError>(!in.bad(), file.string(), ": cannot read the run file");
  text.resize(static_cast<std::size_t>(in.gcount()));
  return parse_run_config(text, file.string(), overrides);
}

}  // namespace rankine::config
