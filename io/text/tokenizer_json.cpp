#include "io/text/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/text/bytelevel_tokenizer.h"
#include "io/text/fallback_bpe_tokenizer.h"
#include "io/text/json_file.h"
#include "io/text/tokenizer_json_parts.h"

namespace rankine {
namespace {
using Json = nlohmann::json;
using Merges = ByteLevelTokenizer::Merges;

std::vector<AddedToken> read_added(const Json& list, const std::string& file) {
  std::vector<AddedToken> added;
  if (list.is_null()) return added;
  require<DataError>(list.is_array(), file, ": added_tokens: expected a list");
  for (const Json& entry : list) {
    AddedToken token;
    token.id = json_id(json_member(entry, "id"), "added_tokens: id", file);
    token.text = json_string(entry, "content", file);
    token.special = json_bool(entry, "special", false, file);
    token.strip_left = json_bool(entry, "lstrip", false, file);
    token.strip_right = json_bool(entry, "rstrip", false, file);
    const bool single = json_bool(entry, "single_word", false, file);
    require<DataError>(token.special || !single, file, ": added_tokens: ", shown_token(token.text),
                       ": single_word is not supported");
    added.push_back(std::move(token));
  }
  return added;
}

std::pair<std::string, std::string> read_merge(const Json& entry, std::size_t rank, const std::string& file) {
  const auto check = [&](bool ok) {
    require<DataError>(ok, file, ": model.merges: entry ", rank, ": expected two tokens");
  };
  if (entry.is_array()) {
    check(entry.size() == 2 && entry[0].is_string() && entry[1].is_string());
    return {entry[0].get<std::string>(), entry[1].get<std::string>()};
  }
  check(entry.is_string());
  const auto text = entry.get<std::string>();
  const std::size_t space = text.find(' ');
  check(space != std::string::npos && space > 0 && space + 1 < text.size() &&
        text.find(' ', space + 1) == std::string::npos);
  return {text.substr(0, space), text.substr(space + 1)};
}

Merges read_merges(const Json& list, const std::string& file) {
  require<DataError>(list.is_array(), file, ": model.merges: expected a list");
  Merges merges;
  merges.reserve(list.size());
  for (const Json& entry : list) merges.push_back(read_merge(entry, merges.size(), file));
  return merges;
}

void check_model(const Json& model, const std::string& file) {
  require<DataError>(model.is_object(), file, ": model: expected an object");
  const std::string type = json_string(model, "type", file);
  require<DataError>(type == "BPE" || type.empty(), file, ": model.type is ", shown_token(type),
                     "; supported is BPE");
  const Json& dropout = json_member(model, "dropout");
  require<DataError>(dropout.is_null() || (dropout.is_number() && dropout.get<double>() == 0), file,
                     ": model.dropout is not supported");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    require<DataError>(json_string(model, affix, file).empty(), file, ": model.", affix, " is not supported");
}

// Ends of a sequence by the names that models use, where no config says it.
void guess_eos(Vocabulary& v) {
  TokenizerConfig names;
  for (const char* name : {"</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>"}) {
    if (v.specials.eos) return;
    names.eos = name;
    apply_roles(names, v);
  }
}

}  // namespace

std::shared_ptr<const Tokenizer> read_tokenizer_json(std::string_view text, const TokenizerConfig& config,
                                                     const std::string& file) {
  const Json json = parse_json(text, file);
  const Json& model = json_member(json, "model");
  check_model(model, file);
  Vocabulary v;
  v.file = file;
  v.tokens = tokenizer_json::read_vocab(json_member(model, "vocab"), file);
  v.added = read_added(json_member(json, "added_tokens"), file);
  const Merges merges = read_merges(json_member(model, "merges"), file);
  TokenizerConfig roles;
  roles.unk = json_string(model, "unk_token", file);
  if (const auto bos = tokenizer_json::template_bos(json_member(json, "post_processor"))) {
    roles.bos = bos;
    roles.add_bos = true;
  }
  apply_roles(roles, v);
  apply_roles(config, v);
  guess_eos(v);
  if (tokenizer_json::is_byte_level(json)) {
    ByteLevelRules rules = tokenizer_json::byte_level_rules(json, file);
    rules.whole_words = json_bool(model, "ignore_merges", false, file);
    return std::make_shared<ByteLevelTokenizer>(std::move(v), merges, rules);
  }
  FallbackBpeRules rules = tokenizer_json::fallback_rules(json, file);
  rules.byte_fallback = json_bool(model, "byte_fallback", false, file);
  rules.fuse_unknown = json_bool(model, "fuse_unk", false, file);
  rules.whole_words = json_bool(model, "ignore_merges", false, file);
  return std::make_shared<FallbackBpeTokenizer>(std::move(v), merges, rules);
}

}  // namespace rankine
