#include "io/text/tokenizer_config.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/text/json_file.h"

namespace rankine {
namespace {
using Json = nlohmann::json;

std::optional<Json> read_if_there(const std::filesystem::path& path) {
  if (!exists(path)) return std::nullopt;
  return parse_json(read_model_text(path), path.string());
}

// A token is given as its text or as an object with the text in "content".
std::optional<std::string> token_text(const Json& config, const char* name) {
  const Json& value = json_member(config, name);
  if (value.is_string()) return value.get<std::string>();
  const Json& content = json_member(value, "content");
  return content.is_string() ? std::optional(content.get<std::string>()) : std::nullopt;
}

void read_added(const Json& decoder, std::vector<AddedToken>& added, const std::string& file) {
  if (!decoder.is_object()) return;
  for (const auto& [key, entry] : decoder.items()) {
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    require<DataError>(error == std::errc() && end == key.data() + key.size() && token.id >= 0, file,
                       ": added_tokens_decoder: ", shown_token(key), " is no id");
    token.text = json_string(entry, "content", file);
    token.special = json_bool(entry, "special", false, file);
    token.strip_left = json_bool(entry, "lstrip", false, file);
    token.strip_right = json_bool(entry, "rstrip", false, file);
    added.push_back(std::move(token));
  }
  std::sort(added.begin(), added.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
}

void read_stops(const Json& config, std::vector<std::int32_t>& stops, const std::string& file) {
  const Json& ids = json_member(config, "eos_token_id");
  if (ids.is_number()) stops.push_back(json_id(ids, "eos_token_id", file));
  if (!ids.is_array()) return;
  for (const Json& id : ids) stops.push_back(json_id(id, "eos_token_id", file));
}

std::optional<std::int64_t> whole_number(const Json& config, const char* name) {
  const Json& value = json_member(config, name);
  return value.is_number_integer() ? std::optional(value.get<std::int64_t>()) : std::nullopt;
}

}  // namespace

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) {
  TokenizerConfig out;
  const auto path = folder / "tokenizer_config.json";
  if (const auto json = read_if_there(path)) {
    const std::string file = path.string();
    out.tokenizer_class = json_string(*json, "tokenizer_class", file);
    out.name = json_string(*json, "name_or_path", file);
    out.bos = token_text(*json, "bos_token");
    out.eos = token_text(*json, "eos_token");
    out.pad = token_text(*json, "pad_token");
    out.unk = token_text(*json, "unk_token");
    if (json_member(*json, "add_bos_token").is_boolean())
      out.add_bos = json_member(*json, "add_bos_token").get<bool>();
    read_added(json_member(*json, "added_tokens_decoder"), out.added, file);
    out.image_tokens = whole_number(*json, "num_image_tokens");
  }
  if (const auto json = read_if_there(folder / "generation_config.json"))
    read_stops(*json, out.stops, (folder / "generation_config.json").string());
  const auto config = folder / "config.json";
  if (const auto json = read_if_there(config)) {
    const std::string file = config.string();
    out.model_type = json_string(*json, "model_type", file);
    out.name.append(" ").append(json_string(*json, "_name_or_path", file));
    out.vocab_size = whole_number(*json, "vocab_size");
    if (!out.vocab_size) out.vocab_size = whole_number(*json, "padded_vocab_size");
    out.two_dimensional = json_bool(*json, "position_encoding_2d", false, file);
    if (out.stops.empty()) read_stops(*json, out.stops, file);
  }
  return out;
}

void apply_roles(const TokenizerConfig& config, Vocabulary& v) {
  const auto find = [&](const std::optional<std::string>& text, std::optional<std::int32_t>& role) {
    if (!text) return;
    for (const AddedToken& a : v.added)
      if (a.text == *text) return void(role = a.id);
    const auto at =
        std::find_if(v.tokens.begin(), v.tokens.end(), [&](const Token& t) { return t.text == *text; });
    if (at != v.tokens.end()) role = static_cast<std::int32_t>(at - v.tokens.begin());
  };
  find(config.bos, v.specials.bos);
  find(config.eos, v.specials.eos);
  find(config.pad, v.specials.pad);
  find(config.unk, v.specials.unk);
  if (config.add_bos) v.specials.add_bos = *config.add_bos;
  std::int32_t end = static_cast<std::int32_t>(v.tokens.size());
  for (const AddedToken& a : v.added) end = std::max(end, a.id + 1);
  for (const std::int32_t id : config.stops)
    if (id < end) v.specials.stops.push_back(id);
}

}  // namespace rankine
