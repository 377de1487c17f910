#include "io/formats/peft_config.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/files/mapped_file.h"
#include "io/formats/module_pattern.h"

namespace rankine::peft_detail {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kMaxRank = 1 << 20;

// A float as people write it: 0.1, not 0.10000000149; a whole one without a fraction.
json number(float x) {
  if (x == std::floor(x) && std::abs(x) < 1e9F) return static_cast<std::int64_t>(x);
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, x).ptr;
  double shortest = 0;
  std::from_chars(text, end, shortest);
  return shortest;
}

// One configuration file with its path in every message.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : where_(path.string()) {
    constexpr std::size_t kMaxBytes = 64U << 20;
    const MappedFile file(path);
    require<DataError>(file.bytes().size() <= kMaxBytes, where_, ": larger than ", kMaxBytes, " bytes");
    const auto* text = reinterpret_cast<const char*>(file.bytes().data());
    const auto shallow = [](int depth, ordered_json::parse_event_t, ordered_json&) { return depth <= 8; };
    json_ = ordered_json::parse(text, text + file.bytes().size(), shallow, /*allow_exceptions=*/false);
    require<DataError>(json_.is_object(), where_, ": is not a JSON object");
  }

  const std::string& where() const { return where_; }
  // Null when absent or null.
  const ordered_json* find(const char* key) const {
    const auto at = json_.find(key);
    return at == json_.end() || at->is_null() ? nullptr : &*at;
  }
  template <class... Parts>
  void check(bool ok, const char* key, const Parts&... what) const {
    require<DataError>(ok, where_, ": \"", key, "\" ", what...);
  }

  float number(const char* key, float absent) const {
    const ordered_json* value = find(key);
    return value ? number(*value, key) : absent;
  }
  float number(const ordered_json& value, const char* key) const {
    check(value.is_number(), key, "must be a number");
    const auto x = value.get<float>();
    check(std::isfinite(x), key, "must be finite");
    return x;
  }
  int rank(const ordered_json& value, const char* key) const {
    check(
        value.is_number_integer() && value.get<std::int64_t>() >= 1 && value.get<std::int64_t>() <= kMaxRank,
        key, "must be whole numbers from 1 to ", kMaxRank);
    return value.get<int>();
  }
  bool flag(const char* key) const {
    const ordered_json* value = find(key);
    check(!value || value->is_boolean(), key, "must be true or false");
    return value && value->get<bool>();
  }
  std::string text(const char* key) const {
    const ordered_json* value = find(key);
    check(!value || value->is_string(), key, "must be a text");
    return value ? value->get<std::string>() : "";
  }
  template <class Value, class Convert>
  std::vector<std::pair<std::string, Value>> patterns(const char* key, Convert convert) const {
    std::vector<std::pair<std::string, Value>> all;
    const ordered_json* value = find(key);
    check(!value || value->is_object(), key, "must be an object");
    if (!value) return all;
    for (const auto& [pattern, item] : value->items()) all.emplace_back(pattern, convert(item, key));
    return all;
  }

 private:
  std::string where_;
  ordered_json json_;
};

bool is_empty(const ordered_json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         ((value.is_array() || value.is_object()) && value.empty());
}

void refuse_others(const Reader& file) {
  const std::string kind = file.text("peft_type");
  file.check(kind == "LORA", "peft_type", "is \"", kind, "\"; only LORA is read");
  const std::string bias = file.find("bias") ? file.text("bias") : "none";
  file.check(bias == "none", "bias", "is \"", bias, "\": trained biases have no place in an adapter here");
  for (const char* key :
       {"modules_to_save", "layer_replication", "megatron_config", "use_qalora", "lora_bias",
        "trainable_token_indices", "target_parameters", "alora_invocation_tokens", "use_bdlora",
        "kasa_config", "velora_config", "monteclora_config", "arrow_config"}) {
    const ordered_json* value = file.find(key);
    file.check(!value || is_empty(*value), key, "is set; such an adapter is more than a LoRA of linear maps");
  }
  const ordered_json* init = file.find("init_lora_weights");
  if (!init || init->is_boolean()) return;
  const std::string method = file.text("init_lora_weights");
  for (const char* changed : {"pissa", "olora", "loftq", "corda", "lora_ga"}) {
    file.check(!method.starts_with(changed), "init_lora_weights", "is \"", method,
               "\": this adapter belongs to a changed base; convert it to a plain LoRA with PEFT first");
  }
}

}  // namespace

std::string to_json(const PeftConfig& c) {
  json ranks = json::object(), alphas = json::object();
  for (const auto& [pattern, rank] : c.rank_pattern) ranks[pattern] = rank;
  for (const auto& [pattern, alpha] : c.alpha_pattern) alphas[pattern] = number(alpha);
  const json config{{"alpha_pattern", alphas},
                    {"auto_mapping", nullptr},
                    {"base_model_name_or_path", c.base_model},
                    {"bias", "none"},
                    {"fan_in_fan_out", false},
                    {"inference_mode", true},
                    {"init_lora_weights", true},
                    {"layers_pattern", nullptr},
                    {"layers_to_transform", nullptr},
                    {"lora_alpha", number(c.alpha)},
                    {"lora_dropout", number(c.dropout)},
                    {"modules_to_save", nullptr},
                    {"peft_type", "LORA"},
                    {"r", c.rank},
                    {"rank_pattern", ranks},
                    {"revision", nullptr},
                    {"target_modules", c.target_modules},
                    {"task_type", "CAUSAL_LM"},
                    {"use_dora", c.dora},
                    {"use_rslora", c.rank_stabilised}};
  return config.dump(2);
}

PeftConfig read_config(const std::filesystem::path& path) {
  const Reader file(path);
  refuse_others(file);
  PeftConfig c;
  c.base_model = file.text("base_model_name_or_path");
  if (const ordered_json* targets = file.find("target_modules")) {
    if (targets->is_string()) c.target_modules = {targets->get<std::string>()};
    file.check(targets->is_string() || targets->is_array(), "target_modules", "must be a text or a list");
    for (std::size_t i = 0; targets->is_array() && i < targets->size(); ++i) {
      file.check((*targets)[i].is_string(), "target_modules", "must hold texts");
      c.target_modules.push_back((*targets)[i].get<std::string>());
    }
  }
  if (const ordered_json* rank = file.find("r")) c.rank = file.rank(*rank, "r");
  c.alpha = file.number("lora_alpha", 8);
  c.dropout = file.number("lora_dropout", 0);
  c.rank_stabilised = file.flag("use_rslora");
  c.dora = file.flag("use_dora");
  c.rank_pattern = file.patterns<int>(
      "rank_pattern", [&](const ordered_json& v, const char* key) { return file.rank(v, key); });
  c.alpha_pattern = file.patterns<float>(
      "alpha_pattern", [&](const ordered_json& v, const char* key) { return file.number(v, key); });
  return c;
}

struct PeftScales::Patterns {
  std::vector<ModulePattern> rank, alpha;
};

PeftScales::PeftScales(const PeftConfig& config, const std::string& where)
    : config_(config), patterns_(std::make_unique<Patterns>()) {
  for (const auto& [pattern, value] : config.rank_pattern)
    patterns_->rank.emplace_back(pattern, where + ": rank_pattern");
  for (const auto& [pattern, value] : config.alpha_pattern)
    patterns_->alpha.emplace_back(pattern, where + ": alpha_pattern");
}
PeftScales::~PeftScales() = default;

int PeftScales::rank(const std::string& module) const {
  for (std::size_t i = 0; i < patterns_->rank.size(); ++i)
    if (patterns_->rank[i].matches(module)) return config_.rank_pattern[i].second;
  return config_.rank;
}

float PeftScales::scale(const std::string& module) const {
  float alpha = config_.alpha;
  for (std::size_t i = 0; i < patterns_->alpha.size(); ++i) {
    if (!patterns_->alpha[i].matches(module)) continue;
    alpha = config_.alpha_pattern[i].second;
    break;
  }
  const auto r = static_cast<float>(rank(module));
  return alpha / (config_.rank_stabilised ? std::sqrt(r) : r);
}

}  // namespace rankine::peft_detail
