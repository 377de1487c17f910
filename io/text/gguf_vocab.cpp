// Vocabularies from inside model files.
#include <algorithm>

#include "engine/core/error.h"
#include "io/text/bytelevel_tokenizer.h"
#include "io/text/spm_tokenizer.h"
#include "io/text/tokenizer_sources.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

void check_lengths(const GgufVocab& v, const std::string& file) {
  const auto check = [&](const char* name, std::size_t size) {
    require<DataError>(size == 0 || size == v.tokens.size(), file, ": tokenizer.ggml.", name, " has ", size,
                       " entries for ", v.tokens.size(), " tokens");
  };
  check("scores", v.scores.size());
  check("token_type", v.types.size());
}

TokenType type_of(const GgufVocab& v, std::size_t id, const std::string& file) {
  const std::string& text = v.tokens[id];
  if (text.empty()) return TokenType::unused;
  if (v.types.empty()) {
    const auto is = [&](std::optional<std::int32_t> special) {
      return special && *special == static_cast<std::int64_t>(id);
    };
    if (is(v.unk)) return TokenType::unknown;
    if (is(v.bos) || is(v.eos) || is(v.pad) || is(v.eot)) return TokenType::control;
    return v.model == "llama" && byte_of_piece(text) >= 0 ? TokenType::byte : TokenType::normal;
  }
  const std::int32_t type = v.types[id];
  require<DataError>(type >= 0 && type <= 6, file, ": tokenizer.ggml.token_type of token ", id, " is ", type,
                     "; allowed are 0 to 6");
  return type == 0 ? TokenType::normal : static_cast<TokenType>(type);
}

Vocabulary roles(const GgufVocab& v, bool bos_by_default, const std::string& file) {
  Vocabulary rest;
  rest.file = file;
  rest.specials = {v.bos, v.eos, v.pad, v.unk, {}, v.add_bos.value_or(bos_by_default)};
  if (v.eot) rest.specials.stops.push_back(*v.eot);
  return rest;
}

std::shared_ptr<const Tokenizer> from_spm(const GgufVocab& v, const std::string& file) {
  SpmModel model;
  model.kind = SpmKind::bpe;
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  model.add_dummy_prefix = v.add_space_prefix.value_or(true);
  bool unknown = false;
  for (std::size_t id = 0; id < v.tokens.size(); ++id) {
    const TokenType type = type_of(v, id, file);
    unknown = unknown || type == TokenType::unknown;
    model.pieces.push_back({v.tokens[id], v.scores.empty() ? -static_cast<float>(id) : v.scores[id], type});
  }
  if (!unknown && v.unk && *v.unk >= 0 && *v.unk < static_cast<std::int64_t>(v.tokens.size()))
    model.pieces[static_cast<std::size_t>(*v.unk)].type = TokenType::unknown;
  return std::make_shared<SpmTokenizer>(std::move(model), roles(v, !v.pre.starts_with("chatglm"), file));
}

std::pair<std::string, std::string> split_merge(const std::string& merge, std::size_t rank,
                                                const std::string& file) {
  const std::size_t space = merge.find(' ', 1);
  require<DataError>(space != std::string::npos && space + 1 < merge.size() &&
                         merge.find(' ', space + 1) == std::string::npos,
                     file, ": tokenizer.ggml.merges: entry ", rank, " ", shown_token(merge),
                     " is not two symbols with one space between");
  return {merge.substr(0, space), merge.substr(space + 1)};
}

std::shared_ptr<const Tokenizer> from_bytelevel(const GgufVocab& v, const std::string& file) {
  const auto pre = pretokenizer_of_gguf(v.pre);
  require<DataError>(pre.has_value(), file, ": tokenizer.ggml.pre is ", shown_token(v.pre), "; known are ",
                     kGgufPreTokenizers);
  ByteLevelRules rules;
  rules.pre = *pre;
  rules.nfc = *pre == PreTokenizer::qwen2;
  rules.whole_words = *pre == PreTokenizer::llama3;
  rules.prefix_space = v.add_space_prefix.value_or(false);
  const bool llama3 = v.pre == "llama3" || v.pre == "llama-v3" || v.pre == "llama-bpe";
  Vocabulary vocabulary = roles(v, llama3, file);
  for (std::size_t id = 0; id < v.tokens.size(); ++id) {
    const TokenType type = type_of(v, id, file);
    vocabulary.tokens.push_back({v.tokens[id], 0, type});
    if (type == TokenType::user_defined)
      vocabulary.added.push_back({static_cast<std::int32_t>(id), v.tokens[id], /*special=*/false});
  }
  ByteLevelTokenizer::Merges merges;
  for (std::size_t rank = 0; rank < v.merges.size(); ++rank)
    merges.push_back(split_merge(v.merges[rank], rank, file));
  return std::make_shared<ByteLevelTokenizer>(std::move(vocabulary), merges, rules);
}

// A piece as SentencePiece spells it, from the raw bytes in the file.
Token ggml_piece(const GgmlVocab& v, std::size_t id, const std::string& file) {
  const std::string& raw = v.tokens[id];
  const float score = v.scores.empty() ? -static_cast<float>(id) : v.scores[id];
  if (id == 0) return {"<unk>", 0, TokenType::unknown};
  if (id <= 2) return {id == 1 ? "<s>" : "</s>", 0, TokenType::control};
  const std::size_t byte = id - 3;
  if (byte < 256) {
    const std::string spelled = byte_piece(static_cast<std::uint8_t>(byte));
    if (raw == spelled || (raw.size() == 1 && static_cast<std::uint8_t>(raw[0]) == byte))
      return {spelled, 0, TokenType::byte};
  }
  if (raw.empty()) return {"", 0, TokenType::unused};
  check_utf8(raw, join(file, ": token ", id));
  std::string text;
  for (const char c : raw) c == ' ' ? text += kSpaceMark : text += c;
  return {std::move(text), score, TokenType::normal};
}

}  // namespace

std::shared_ptr<const Tokenizer> make_tokenizer(const GgufVocab& vocab, const std::string& file) {
  require<DataError>(!vocab.tokens.empty(), file, ": tokenizer.ggml.tokens is empty");
  check_lengths(vocab, file);
  if (vocab.model == "llama") return from_spm(vocab, file);
  require<DataError>(vocab.model == "gpt2", file, ": tokenizer.ggml.model is ", shown_token(vocab.model),
                     "; supported are llama and gpt2");
  return from_bytelevel(vocab, file);
}

std::shared_ptr<const Tokenizer> make_tokenizer(const GgmlVocab& vocab, const std::string& file) {
  require<DataError>(vocab.tokens.size() >= 3, file, ": a vocabulary of ", vocab.tokens.size(),
                     " tokens; it needs the unknown token, BOS and EOS at least");
  require<DataError>(vocab.scores.empty() || vocab.scores.size() == vocab.tokens.size(), file, ": ",
                     vocab.scores.size(), " scores for ", vocab.tokens.size(), " tokens");
  SpmModel model;
  model.kind = SpmKind::bpe;
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  for (std::size_t id = 0; id < vocab.tokens.size(); ++id)
    model.pieces.push_back(ggml_piece(vocab, id, file));
  Vocabulary rest;
  rest.file = file;
  rest.specials = {1, 2, std::nullopt, 0, {}, true};
  return std::make_shared<SpmTokenizer>(std::move(model), std::move(rest));
}

}  // namespace rankine
