// JSON that came with a model: parsed with limits, read with messages that name the file.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace rankine {

// Throws DataError "file: ..." for what is not JSON or nests deeper than 64.
nlohmann::json parse_json(std::string_view text, const std::string& file);

// A whole file as text; IoError, and DataError when it has more than 256 MiB.
std::string read_model_text(const std::filesystem::path& path);

// A member of an object; null when there is none (or `object` is no object).
const nlohmann::json& json_member(const nlohmann::json& object, const char* name);

// A member of this kind; `fallback` when absent or null. Throws DataError "file: name: expected ...".
bool json_bool(const nlohmann::json& object, const char* name, bool fallback, const std::string& file);
std::string json_string(const nlohmann::json& object, const char* name, const std::string& file);
std::int32_t json_id(const nlohmann::json& value, const std::string& what, const std::string& file);

}  // namespace rankine
