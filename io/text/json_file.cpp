#include "io/text/json_file.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/files/mapped_file.h"

namespace rankine {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxFile = std::size_t{256} << 20;

// Before parsing: a parsed value that nests deeply is destroyed by recursion.
void check_depth(std::string_view text, const std::string& file) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\') {
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == '[' || c == '{')) {
      require<DataError>(++depth <= kMaxDepth, file, ": offset ", i, ": JSON nested deeper than ", kMaxDepth);
    } else if (!quoted && (c == ']' || c == '}')) {
      --depth;
    }
  }
}

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& file) {
  check_depth(text, file);
  try {
    return nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& e) {
    throw DataError(file + ": " + e.what());
  }
}

std::string read_model_text(const std::filesystem::path& path) {
  const MappedFile file(path);
  require<DataError>(file.bytes().size() <= kMaxFile, path.string(), ": ", file.bytes().size(),
                     " bytes are too many for a vocabulary");
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

const nlohmann::json& json_member(const nlohmann::json& object, const char* name) {
  static const nlohmann::json kNull;
  if (!object.is_object()) return kNull;
  const auto at = object.find(name);
  return at == object.end() ? kNull : *at;
}

bool json_bool(const nlohmann::json& object, const char* name, bool fallback, const std::string& file) {
  const auto& value = json_member(object, name);
  if (value.is_null()) return fallback;
  require<DataError>(value.is_boolean(), file, ": ", name, ": expected true or false");
  return value.get<bool>();
}

std::string json_string(const nlohmann::json& object, const char* name, const std::string& file) {
  const auto& value = json_member(object, name);
  if (value.is_null()) return {};
  require<DataError>(value.is_string(), file, ": ", name, ": expected a text");
  return value.get<std::string>();
}

std::int32_t json_id(const nlohmann::json& value, const std::string& what, const std::string& file) {
  const bool fits =
      value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<std::int32_t>::max();
  require<DataError>(fits, file, ": ", what, ": expected an id, a whole number from 0 to 2147483647");
  return value.get<std::int32_t>();
}

}  // namespace rankine
