#include "io/formats/adapter_alpha.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"

namespace rankine::adapter_detail {
namespace {

constexpr const char* kEntry = "lora_adapter_metadata";

// PEFT looks for a module whose dotted path is the pattern or ends in "." and the pattern.
bool names_module(const std::string& pattern, const std::string& path) {
  return path == pattern || (path.ends_with(pattern) && path[path.size() - pattern.size() - 1] == '.');
}

}  // namespace

struct ConfiguredAlpha::Json {
  nlohmann::json value;
};

ConfiguredAlpha::ConfiguredAlpha(const MetadataTable& metadata, const std::string& file) : file_(file) {
  const auto entry = metadata.find(kEntry);
  if (entry == metadata.end()) return;
  // The text may be nested to any depth; a configuration has two levels.
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) { return depth <= 4; };
  json_ =
      std::make_unique<Json>(Json{nlohmann::json::parse(entry->second, shallow, /*allow_exceptions=*/false)});
  require<DataError>(json_->value.is_object(), file, ": metadata \"", kEntry, "\" is not a JSON object");
}

ConfiguredAlpha::~ConfiguredAlpha() = default;

std::optional<float> ConfiguredAlpha::of(const Key& module, std::int64_t rank) const {
  if (!json_ || module.root == Root::kohya) return std::nullopt;
  const std::string root = std::string(name_of(module.root)) + ".";
  const auto field = [&](const char* name) -> const nlohmann::json* {
    const auto at = json_->value.find(root + name);
    return at == json_->value.end() || at->is_null() ? nullptr : &*at;
  };
  const nlohmann::json* alpha = field("lora_alpha");
  if (const nlohmann::json* patterns = field("alpha_pattern")) {
    for (const auto& [pattern, value] : patterns->items()) {
      require<DataError>(pattern.find_first_of("*+?()[]{}|^$\\") == std::string::npos, file_, ": metadata \"",
                         kEntry, "\": alpha_pattern \"", pattern,
                         "\" is a regular expression; only module names are understood");
      if (names_module(pattern, module.path)) alpha = &value;
    }
  }
  if (alpha == nullptr) return std::nullopt;
  require<DataError>(alpha->is_number(), file_, ": metadata \"", kEntry, "\": ", root,
                     "lora_alpha is not a number");
  const nlohmann::json* rslora = field("use_rslora");
  const bool by_root = rslora != nullptr && rslora->is_boolean() && rslora->get<bool>();
  return alpha->get<float>() * (by_root ? std::sqrt(static_cast<float>(rank)) : 1.0F);
}

}  // namespace rankine::adapter_detail
