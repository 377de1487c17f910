// Which file of a folder holds the vocabulary, and whose it is.
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/text/bytelevel_tokenizer.h"
#include "io/text/chatglm_tokenizer.h"
#include "io/text/json_file.h"
#include "io/text/spm_tokenizer.h"
#include "io/text/tiktoken_file.h"
#include "io/text/tokenizer_config.h"
#include "io/text/tokenizer_json.h"
#include "io/text/tokenizer_json_parts.h"
#include "io/text/tokenizer_sources.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using Family = TokenizerFamily;
using Result = std::shared_ptr<const Tokenizer>;

constexpr std::pair<std::string_view, Family> kFamilies[] = {
    {"auto", Family::automatic},    {"llama", Family::llama},       {"llama3", Family::llama3},
    {"qwen2", Family::qwen2},       {"gpt2", Family::gpt2},         {"chatglm", Family::chatglm},
    {"chatglm2", Family::chatglm2}, {"chatglm3", Family::chatglm3}, {"glm4", Family::glm4}};

constexpr std::size_t kLlama3Tokens = 128000, kGlm4Tokens = 151329;

struct Source {
  fs::path path;
  std::string text, file;  // content; name for messages
  TokenizerConfig config;
  TokenizerOptions options;
};

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

// ---- SentencePiece ----

Result plain_spm(Source& s, SpmModel model) {
  Vocabulary rest;
  rest.file = s.file;
  const auto role = [&](std::int32_t id) {
    const bool control = id >= 0 && model.pieces[static_cast<std::size_t>(id)].type == TokenType::control;
    return control ? std::optional(id) : std::nullopt;
  };
  rest.specials = {role(model.bos), role(model.eos), role(model.pad), std::nullopt, {}, true};
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == TokenType::unknown) rest.specials.unk = static_cast<std::int32_t>(id);
  rest.added = std::move(s.config.added);
  rest.tokens = model.pieces;
  apply_roles(s.config, rest);
  rest.tokens.clear();
  return std::make_shared<SpmTokenizer>(std::move(model), std::move(rest));
}

std::int32_t image_tokens(const Source& s) {
  if (s.config.image_tokens) {
    require<DataError>(*s.config.image_tokens >= 0 && *s.config.image_tokens <= 20000, s.file,
                       ": num_image_tokens is ", *s.config.image_tokens, "; expected 0 or 20000");
    return static_cast<std::int32_t>(*s.config.image_tokens);
  }
  const auto rows = s.options.embedding_rows ? s.options.embedding_rows : s.config.vocab_size;
  return rows.value_or(0) >= 150000 ? 20000 : 0;
}

// Of a folder that says ChatGLM: by what its files call the model.
Family chatglm_family(const Source& s) {
  if (s.path.filename() == "ice_text.model" || s.config.two_dimensional) return Family::chatglm;
  for (const AddedToken& a : s.config.added)
    if (a.text == "<|user|>" || a.text == "<|assistant|>") return Family::chatglm3;
  if (contains(s.config.name, "chatglm3")) return Family::chatglm3;
  if (contains(s.config.name, "chatglm2")) return Family::chatglm2;
  throw DataError(s.file +
                  ": a ChatGLM vocabulary, but neither its config nor its name says whether of chatglm2 or "
                  "chatglm3; name the family");
}

bool says_chatglm(const TokenizerConfig& config) {
  return config.model_type == "chatglm" || config.tokenizer_class.starts_with("ChatGLM");
}

Result from_spm(Source& s) {
  SpmModel model = read_spm_model(s.text, s.file);
  Family family = s.options.family;
  const bool ice = s.path.filename() == "ice_text.model";
  if (family == Family::automatic && (says_chatglm(s.config) || ice)) family = chatglm_family(s);
  if (family == Family::chatglm) return make_chatglm_tokenizer(std::move(model), image_tokens(s), s.file);
  if (family == Family::chatglm2 || family == Family::chatglm3)
    return make_chatglm2_tokenizer(std::move(model), family == Family::chatglm3, s.file);
  require<DataError>(family == Family::automatic || family == Family::llama, s.file,
                     ": a SentencePiece model; the family asked for has none");
  return plain_spm(s, std::move(model));
}

// ---- tiktoken ----

Result from_tiktoken(Source& s) {
  const std::vector<std::string> tokens = read_tiktoken(s.text, s.file);
  Family family = s.options.family;
  if (family == Family::automatic && tokens.size() == kLlama3Tokens) family = Family::llama3;
  if (family == Family::automatic && (tokens.size() == kGlm4Tokens || says_chatglm(s.config)))
    family = Family::glm4;
  require<DataError>(family == Family::llama3 || family == Family::glm4, s.file, ": ", tokens.size(),
                     " ranks; known are llama3 (", kLlama3Tokens, ") and glm4 (", kGlm4Tokens,
                     "); name the family");
  Vocabulary rest;
  rest.file = s.file;
  std::int32_t id = static_cast<std::int32_t>(tokens.size());
  for (std::string& name : family == Family::llama3 ? llama3_controls() : glm4_controls())
    rest.added.push_back({id++, std::move(name)});
  TokenizerConfig names = family == Family::llama3
                              ? TokenizerConfig{.bos = "<|begin_of_text|>", .eos = "<|end_of_text|>"}
                              : TokenizerConfig{.eos = "<|endoftext|>", .pad = "<|endoftext|>"};
  names.add_bos = family == Family::llama3;
  if (!s.config.added.empty()) rest.added = std::move(s.config.added);
  apply_roles(names, rest);
  apply_roles(s.config, rest);
  return make_tiktoken_tokenizer(tokens, std::move(rest));
}

// ---- vocab.json and merges.txt ----

PreTokenizer folder_rule(const Source& s) {
  const std::string& type = s.config.model_type;
  const std::string& name = s.config.tokenizer_class;
  if (s.options.family == Family::qwen2 || name.starts_with("Qwen2") || type.starts_with("qwen"))
    return PreTokenizer::qwen2;
  if (s.options.family == Family::gpt2 || name.starts_with("GPT2") || type == "gpt2")
    return PreTokenizer::gpt2;
  throw DataError(join(s.file, ": vocab.json and merges.txt of an unknown family (tokenizer_class ",
                       shown_token(name), ", model_type ", shown_token(type),
                       "); name the family: qwen2 or gpt2"));
}

ByteLevelTokenizer::Merges read_merges_txt(const fs::path& path) {
  const std::string text = read_model_text(path);
  ByteLevelTokenizer::Merges merges;
  std::string_view rest = text;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const std::size_t space = line.find(' ');
    require<DataError>(space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                           line.find(' ', space + 1) == std::string_view::npos,
                       path.string(), ":", number, ": expected two symbols with one space between");
    merges.emplace_back(line.substr(0, space), line.substr(space + 1));
  }
  return merges;
}

Result from_vocab_json(Source& s) {
  ByteLevelRules rules;
  rules.pre = folder_rule(s);
  rules.nfc = rules.pre == PreTokenizer::qwen2;
  Vocabulary v;
  v.file = s.file;
  v.tokens = tokenizer_json::read_vocab(parse_json(s.text, s.file), s.file);
  v.added = std::move(s.config.added);
  apply_roles(TokenizerConfig{.eos = "<|endoftext|>"}, v);
  apply_roles(s.config, v);
  return std::make_shared<ByteLevelTokenizer>(std::move(v),
                                              read_merges_txt(s.path.parent_path() / "merges.txt"), rules);
}

// ---- choice ----

fs::path choose_file(const fs::path& folder, const TokenizerConfig& config, Family family) {
  std::vector<const char*> order = {"ice_text.model", "tokenizer.json", "tokenizer.model", "vocab.json"};
  if (says_chatglm(config) || family == Family::chatglm || family == Family::chatglm2 ||
      family == Family::chatglm3)
    std::swap(order[1], order[2]);
  for (const char* name : order)
    if (exists(folder / name)) return folder / name;
  throw DataError(folder.string() +
                  ": no vocabulary; looked for tokenizer.json, tokenizer.model, ice_text.model, "
                  "vocab.json with merges.txt");
}

}  // namespace

TokenizerFamily tokenizer_family(std::string_view name) {
  std::string known;
  for (const auto& [text, family] : kFamilies) {
    if (text == name) return family;
    known += known.empty() ? "" : ", ";
    known += text;
  }
  throw ConfigError(join("tokenizer family ", shown_token(name), " is not known; allowed are ", known));
}

std::shared_ptr<const Tokenizer> load_tokenizer(const fs::path& file_or_folder,
                                                const TokenizerOptions& options) {
  const bool folder = is_directory(file_or_folder);
  Source s;
  s.options = options;
  s.config = read_tokenizer_config(folder ? file_or_folder : file_or_folder.parent_path());
  s.path = folder ? choose_file(file_or_folder, s.config, options.family) : file_or_folder;
  s.file = s.path.string();
  s.text = read_model_text(s.path);
  if (s.path.filename() == "vocab.json") return from_vocab_json(s);
  if (s.path.extension() == ".json") return read_tokenizer_json(s.text, s.config, s.file);
  return looks_like_tiktoken(s.text) ? from_tiktoken(s) : from_spm(s);
}

}  // namespace rankine
