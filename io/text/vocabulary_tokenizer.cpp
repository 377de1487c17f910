#include "io/text/vocabulary_tokenizer.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"
#include "io/files/sha256.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

// Tokens by which models end a turn or a document.
constexpr std::string_view kTurnEnds[] = {"<|eot_id|>", "<|eom_id|>",    "<|end_of_text|>",
                                          "<|im_end|>", "<|endoftext|>", "<|observation|>",
                                          "<|user|>",   "<end_of_turn>"};
constexpr std::int32_t kMaxGap = 65536;  // ids without a token that added tokens may leave

std::string_view strip_end(std::string_view text) {
  while (!text.empty() && static_cast<unsigned char>(text.back()) <= ' ' &&
         is_space(static_cast<char32_t>(text.back())))
    text.remove_suffix(1);
  return text;
}

std::size_t spaces_at_start(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size() && static_cast<unsigned char>(text[n]) <= ' ' &&
         is_space(static_cast<char32_t>(text[n])))
    ++n;
  return n;
}

}  // namespace

std::string shown_token(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 60)) out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return out + (text.size() > 60 ? "...'" : "'");
}

VocabularyTokenizer::VocabularyTokenizer(Vocabulary v)
    : tokens_(std::move(v.tokens)), specials_(std::move(v.specials)), file_(std::move(v.file)) {
  require<DataError>(!tokens_.empty(), file_, ": the vocabulary is empty");
  require<DataError>(tokens_.size() <= kMaxTokens, file_, ": ", tokens_.size(), " tokens; at most ",
                     kMaxTokens, " are allowed");
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    const Token& t = tokens_[id];
    require<DataError>(std::isfinite(t.score), file_, ": token ", id, " ", shown_token(t.text),
                       " has the score ", t.score, "; it must be finite");
    require<DataError>(t.text.size() <= kMaxTokenBytes, file_, ": token ", id, " has ", t.text.size(),
                       " bytes; at most ", kMaxTokenBytes, " are allowed");
  }
  add_tokens(v.added);
  index_controls(v.aliases);
  check_specials();
}

void VocabularyTokenizer::add_tokens(const std::vector<AddedToken>& added) {
  const auto end = static_cast<std::int32_t>(tokens_.size());
  for (const AddedToken& a : added) {
    require<DataError>(!a.text.empty() && a.text.size() <= kMaxTokenBytes, file_, ": added token ", a.id,
                       " has ", a.text.size(), " bytes; 1 to ", kMaxTokenBytes, " are allowed");
    require<DataError>(a.id >= 0 && a.id < end + kMaxGap, file_, ": added token ", shown_token(a.text),
                       " has the id ", a.id, "; allowed are 0 to ", end + kMaxGap - 1);
    require<DataError>(added_ids_.emplace(a.id, a.special).second, file_, ": two added tokens have the id ",
                       a.id);
    if (a.id >= vocab_size()) tokens_.resize(static_cast<std::size_t>(a.id) + 1, {"", 0, TokenType::unused});
    Token& token = tokens_[static_cast<std::size_t>(a.id)];
    if (token.type != TokenType::unknown)
      token.type = a.special ? TokenType::control : TokenType::user_defined;
    token.text = a.text;
    if (!a.special) in_text_.push_back(a);
  }
  std::vector<ByteTrie::Entry> entries;
  for (const AddedToken& a : in_text_)
    entries.emplace_back(a.text, static_cast<std::int32_t>(entries.size()));
  in_text_trie_ = ByteTrie(std::move(entries));
}

void VocabularyTokenizer::index_controls(const std::vector<std::pair<std::string, std::int32_t>>& aliases) {
  for (std::size_t id = 0; id < tokens_.size(); ++id) {
    const Token& t = tokens_[id];
    const bool named =
        t.type == TokenType::control || t.type == TokenType::unknown || t.type == TokenType::user_defined;
    if (named && !t.text.empty()) controls_.emplace(t.text, static_cast<std::int32_t>(id));
  }
  for (const auto& [name, id] : aliases) controls_.emplace(name, id);
}

void VocabularyTokenizer::check_specials() {
  const auto check = [&](std::optional<std::int32_t> id, const char* role) {
    require<DataError>(!id || (*id >= 0 && *id < vocab_size()), file_, ": the ", role, " token is ",
                       id.value_or(0), "; the vocabulary has ids 0 to ", vocab_size() - 1);
  };
  check(specials_.bos, "BOS");
  check(specials_.eos, "EOS");
  check(specials_.pad, "padding");
  check(specials_.unk, "unknown");
  auto& stops = specials_.stops;
  for (const std::int32_t id : stops) check(id, "stop");
  if (specials_.eos) stops.push_back(*specials_.eos);
  for (const std::string_view name : kTurnEnds) {
    const auto id = control(name);
    if (id && tokens_[static_cast<std::size_t>(*id)].type == TokenType::control) stops.push_back(*id);
  }
  std::sort(stops.begin(), stops.end());
  stops.erase(std::unique(stops.begin(), stops.end()), stops.end());
  specials_.add_bos = specials_.add_bos && specials_.bos.has_value();
}

void VocabularyTokenizer::set_fingerprint(std::string_view rules) {
  Sha256 hash;
  const auto number = [&](const auto& value) { hash.update(std::as_bytes(std::span(&value, 1))); };
  const auto text = [&](std::string_view s) {
    number(static_cast<std::uint64_t>(s.size()));
    hash.update(s);
  };
  text(rules);
  for (const Token& t : tokens_) {
    number(t.type);
    number(t.score);
    text(t.text);
  }
  for (const AddedToken& a : in_text_) {
    number(a.id);
    number(static_cast<std::uint8_t>(a.strip_left + 2 * a.strip_right));
  }
  fingerprint_ = hash.hex();
}

std::vector<std::int32_t> VocabularyTokenizer::encode(std::string_view text, bool begin) const {
  check_utf8(text, "text to tokenize");
  require<DataError>(text.size() < std::size_t{1} << 29, "text to tokenize: ", text.size(),
                     " bytes at once; at most 512 MiB are allowed");
  std::vector<std::int32_t> ids;
  PartPlace place = begin ? PartPlace::opening : PartPlace::inside;
  const auto plain = [&](std::string_view part) {
    if (!part.empty()) encode_part(part, place, ids);
  };
  std::size_t from = 0;
  for (std::size_t at = 0; at < text.size() && !in_text_trie_.empty();) {
    const ByteTrie::Match match = in_text_trie_.longest(text.substr(at));
    if (match.length == 0) {
      ++at;
      continue;
    }
    const AddedToken& token = in_text_[static_cast<std::size_t>(match.value)];
    const std::string_view before = text.substr(from, at - from);
    plain(token.strip_left ? strip_end(before) : before);
    ids.push_back(token.id);
    place = PartPlace::after_token;
    at += match.length;
    if (token.strip_right) at += spaces_at_start(text.substr(at));
    from = at;
  }
  plain(text.substr(from));
  return ids;
}

std::string VocabularyTokenizer::decode(std::span<const std::int32_t> ids) const {
  std::string out;
  bool first = has_dummy_prefix();
  for (const std::int32_t id : ids) {
    require<DataError>(id >= 0, "decode: ", id, " is no token id");
    if (id >= vocab_size()) continue;
    const Token& token = tokens_[static_cast<std::size_t>(id)];
    if (token.type == TokenType::control || token.text.empty()) continue;
    const std::string bytes = is_added(id) ? token.text : token_bytes(id);
    out.append(bytes, first && bytes.starts_with(' ') ? 1 : 0);
    first = false;
  }
  return out;
}

std::string VocabularyTokenizer::piece(std::int32_t id) const {
  require<DataError>(id >= 0, "piece: ", id, " is no token id");
  if (id >= vocab_size() || tokens_[static_cast<std::size_t>(id)].text.empty()) return join("[", id, "]");
  return tokens_[static_cast<std::size_t>(id)].text;
}

std::optional<std::int32_t> VocabularyTokenizer::control(std::string_view text) const {
  const auto at = controls_.find(std::string(text));
  return at == controls_.end() ? std::nullopt : std::optional(at->second);
}

}  // namespace rankine
