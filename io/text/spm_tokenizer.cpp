#include "io/text/spm_tokenizer.h"

#include <algorithm>
#include <limits>

#include "engine/core/error.h"
#include "io/files/sha256.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

constexpr std::string_view kUnknownText = " \u2047 ";
constexpr float kUnknownPenalty = 10;

bool from_text(TokenType type) {
  return type == TokenType::normal || type == TokenType::user_defined || type == TokenType::unused;
}

}  // namespace

SpmTokenizer::SpmTokenizer(SpmModel model, Vocabulary rest)
    : VocabularyTokenizer([&] {
        rest.tokens = model.pieces;
        return std::move(rest);
      }()),
      kind_(model.kind),
      byte_fallback_(model.byte_fallback),
      dummy_prefix_(model.add_dummy_prefix || model.remove_extra_whitespaces),
      normalizer_(model, file()) {
  index_pieces();
  if (kind_ == SpmKind::unigram) {
    std::vector<ByteTrie::Entry> entries(ids_.begin(), ids_.end());
    trie_ = ByteTrie(std::move(entries));
  }
  set_fingerprint(join("spm ", int(model.kind), model.byte_fallback, model.add_dummy_prefix,
                       model.remove_extra_whitespaces, model.escape_whitespaces, ' ',
                       sha256_hex(model.charsmap)));
}

void SpmTokenizer::index_pieces() {
  byte_ids_.fill(-1);
  float min_score = std::numeric_limits<float>::max();
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const Token& t = tokens()[static_cast<std::size_t>(id)];
    if (t.type == TokenType::unknown && unk_ < 0) unk_ = id;
    if (t.type == TokenType::byte) {
      const int byte = byte_of_piece(t.text);
      require<DataError>(byte >= 0, file(), ": token ", id, " ", shown_token(t.text),
                         " is of type byte; expected is a text like '<0x0A>'");
      require<DataError>(byte_ids_[static_cast<std::size_t>(byte)] < 0, file(), ": token ", id, " ", t.text,
                         " is there twice");
      byte_ids_[static_cast<std::size_t>(byte)] = id;
    }
    if (t.text.empty() || !from_text(t.type) || is_added(id)) continue;
    check_utf8(t.text, join(file(), ": token ", id));
    const bool fresh = ids_.emplace(t.text, id).second;
    require<DataError>(fresh || t.type == TokenType::unused, file(), ": token ", id, " ", shown_token(t.text),
                       " is there twice");
    longest_piece_ = std::max(longest_piece_, t.text.size());
    if (t.type != TokenType::normal) continue;
    min_score = std::min(min_score, t.score);
  }
  unknown_score_ = min_score - kUnknownPenalty;
  const bool all_bytes = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  require<DataError>(unk_ >= 0 || (byte_fallback_ && all_bytes), file(),
                     ": neither a token of type unknown nor one for each byte: some texts would have no ids");
}

std::int32_t SpmTokenizer::find_piece(std::string_view text) const {
  if (text.size() > longest_piece_) return -1;
  const auto at = ids_.find(text);
  return at == ids_.end() ? -1 : at->second;
}

void SpmTokenizer::encode_part(std::string_view text, PartPlace place, std::vector<std::int32_t>& ids) const {
  const std::string normal = normalizer_.normalize(text, place == PartPlace::opening);
  Sink sink{ids};
  if (normal.empty()) return;
  kind_ == SpmKind::bpe ? encode_bpe(normal, sink) : encode_unigram(normal, sink);
}

void SpmTokenizer::emit(std::string_view text, std::int32_t id, Sink& sink) const {
  const bool unknown = id < 0;
  if (!unknown) {
    sink.ids.push_back(id);
  } else if (byte_fallback_ && std::all_of(text.begin(), text.end(), [&](char c) {
               return byte_ids_[static_cast<std::uint8_t>(c)] >= 0;
             })) {
    for (const char c : text) sink.ids.push_back(byte_ids_[static_cast<std::uint8_t>(c)]);
  } else if (!sink.after_unknown) {
    sink.ids.push_back(unk_);
  }
  sink.after_unknown = unknown;
}

std::string SpmTokenizer::token_bytes(std::int32_t id) const {
  const Token& t = tokens()[static_cast<std::size_t>(id)];
  if (t.type == TokenType::byte) return {static_cast<char>(byte_of_piece(t.text))};
  if (t.type == TokenType::unknown) return std::string(kUnknownText);
  std::string out;
  const std::string_view mark = kSpaceMark, text = t.text;
  for (std::size_t at = 0; at < text.size();) {
    const bool space = text.substr(at).starts_with(mark);
    out += space ? ' ' : text[at];
    at += space ? mark.size() : 1;
  }
  return out;
}

}  // namespace rankine
