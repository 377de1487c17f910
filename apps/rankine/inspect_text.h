// What `inspect` says of language models and their adapters.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

namespace rankine::app {

// Nothing when the path is none of: a language model (folder, GGUF, GGML), a PEFT folder, a GGUF adapter.
std::optional<nlohmann::ordered_json> inspect_language_file(const std::filesystem::path& path);

}  // namespace rankine::app
