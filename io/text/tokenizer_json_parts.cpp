#include "io/text/tokenizer_json_parts.h"

#include <nlohmann/json.hpp>
#include <vector>

#include "engine/core/error.h"
#include "io/text/json_file.h"

namespace rankine::tokenizer_json {
namespace {
using Json = nlohmann::json;

constexpr std::size_t kMaxGap = 65536;  // ids without a token

std::string type_of(const Json& part) {
  const Json& type = json_member(part, "type");
  return type.is_string() ? type.get<std::string>() : std::string();
}

// A part, or the parts of a Sequence (which do not nest here).
std::vector<const Json*> parts_of(const Json& part, const char* list_name) {
  std::vector<const Json*> parts;
  if (part.is_null()) return parts;
  if (type_of(part) != "Sequence") return {&part};
  const Json& list = json_member(part, list_name);
  if (!list.is_array()) return {&part};
  for (const Json& entry : list) parts.push_back(&entry);
  return parts;
}

std::vector<const Json*> pre_tokenizers(const Json& json) {
  return parts_of(json_member(json, "pre_tokenizer"), "pretokenizers");
}

[[noreturn]] void not_supported(const char* name, const Json& part, const std::string& file) {
  const std::string text = part.dump(-1, ' ', true, Json::error_handler_t::replace);
  throw DataError(join(file, ": ", name, " is not supported: ", text.substr(0, 200)));
}

bool is_text(const Json& value, std::string_view text) {
  return value.is_string() && value.get<std::string>() == text;
}

std::optional<PreTokenizer> split_rule(const Json& part, const std::string& file) {
  const Json& regex = json_member(json_member(part, "pattern"), "Regex");
  const bool isolated = is_text(json_member(part, "behavior"), "Isolated");
  if (type_of(part) != "Split" || !regex.is_string() || !isolated || json_bool(part, "invert", false, file))
    return std::nullopt;
  return pretokenizer_of_regex(regex.get<std::string>());
}

bool is_prepend(const Json& part) {
  return type_of(part) == "Prepend" && is_text(json_member(part, "prepend"), kSpaceMark);
}

bool is_replace(const Json& part) {
  return type_of(part) == "Replace" && is_text(json_member(json_member(part, "pattern"), "String"), " ") &&
         is_text(json_member(part, "content"), kSpaceMark);
}

FallbackBpeRules metaspace_rules(const Json& part, const std::string& file) {
  using Prefix = FallbackBpeRules::Prefix;
  FallbackBpeRules rules;
  rules.prefix_unless_space = true;
  const bool known = type_of(part) == "Metaspace" && is_text(json_member(part, "replacement"), kSpaceMark);
  if (!known || json_bool(part, "split", true, file)) not_supported("pre_tokenizer", part, file);
  const std::string scheme = json_string(part, "prepend_scheme", file);
  if (scheme == "first") {
    rules.prefix = Prefix::first;
  } else if (scheme == "always" || (scheme.empty() && json_bool(part, "add_prefix_space", true, file))) {
    rules.prefix = Prefix::always;
  } else if (scheme == "never" || scheme.empty()) {
    rules.prefix = Prefix::never;
  } else {
    not_supported("pre_tokenizer", part, file);
  }
  return rules;
}

}  // namespace

std::vector<Token> read_vocab(const Json& vocab, const std::string& file) {
  require<DataError>(vocab.is_object() && !vocab.empty(), file,
                     ": model.vocab: expected an object of tokens and ids");
  std::vector<Token> tokens;
  std::vector<bool> taken;
  for (const auto& [text, value] : vocab.items()) {
    const auto id = static_cast<std::size_t>(json_id(value, "model.vocab: " + shown_token(text), file));
    require<DataError>(id < vocab.size() + kMaxGap, file, ": model.vocab: ", shown_token(text),
                       " has the id ", id, " in a vocabulary of ", vocab.size());
    if (id >= tokens.size()) {
      tokens.resize(id + 1, {"", 0, TokenType::unused});
      taken.resize(id + 1);
    }
    require<DataError>(!taken[id], file, ": model.vocab: ", shown_token(text), " and ",
                       shown_token(tokens[id].text), " both have the id ", id);
    require<DataError>(!text.empty(), file, ": model.vocab: the token of id ", id, " is empty");
    taken[id] = true;
    tokens[id] = {text, 0, TokenType::normal};
  }
  return tokens;
}

bool is_byte_level(const Json& json) {
  for (const Json* part : pre_tokenizers(json))
    if (type_of(*part) == "ByteLevel") return true;
  return false;
}

ByteLevelRules byte_level_rules(const Json& json, const std::string& file) {
  const Json &normalizer = json_member(json, "normalizer"), &pre = json_member(json, "pre_tokenizer");
  ByteLevelRules rules;
  for (const Json* part : parts_of(normalizer, "normalizers")) {
    if (type_of(*part) != "NFC") not_supported("normalizer", normalizer, file);
    rules.nfc = true;
  }
  const auto parts = pre_tokenizers(json);
  if (parts.size() > 2 || type_of(*parts.back()) != "ByteLevel") not_supported("pre_tokenizer", pre, file);
  const bool own_regex = json_bool(*parts.back(), "use_regex", true, file);
  rules.prefix_space = json_bool(*parts.back(), "add_prefix_space", true, file);
  if (parts.size() == 1) {
    rules.pre = own_regex ? PreTokenizer::gpt2 : PreTokenizer::whole;
    return rules;
  }
  const bool digits =
      own_regex && type_of(*parts[0]) == "Digits" && json_bool(*parts[0], "individual_digits", false, file);
  const auto split = own_regex ? std::nullopt : split_rule(*parts[0], file);
  if (rules.prefix_space || (!digits && !split)) not_supported("pre_tokenizer", pre, file);
  rules.pre = digits ? PreTokenizer::digits : *split;
  return rules;
}

FallbackBpeRules fallback_rules(const Json& json, const std::string& file) {
  const Json &normalizer = json_member(json, "normalizer"), &pre = json_member(json, "pre_tokenizer");
  const auto steps = parts_of(normalizer, "normalizers");
  if (steps.empty() && !pre.is_null()) return metaspace_rules(pre, file);
  if (!pre.is_null()) not_supported("pre_tokenizer", pre, file);
  FallbackBpeRules rules;
  const bool prepends = !steps.empty() && is_prepend(*steps.front());
  if (steps.size() != (prepends ? 2U : 1U) || !is_replace(*steps.back()))
    not_supported("normalizer", normalizer, file);
  rules.prefix = prepends ? FallbackBpeRules::Prefix::always : FallbackBpeRules::Prefix::never;
  return rules;
}

std::optional<std::string> template_bos(const Json& post_processor) {
  for (const Json* part : parts_of(post_processor, "processors")) {
    if (type_of(*part) != "TemplateProcessing") continue;
    const Json& single = json_member(*part, "single");
    if (!single.is_array() || single.size() < 2) return std::nullopt;
    const Json& id = json_member(json_member(single[0], "SpecialToken"), "id");
    const bool text_follows = !json_member(single[1], "Sequence").is_null();
    return id.is_string() && text_follows ? std::optional(id.get<std::string>()) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace rankine::tokenizer_json
