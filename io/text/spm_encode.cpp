// The two ways of SentencePiece to cut a normalised text.
#include <algorithm>
#include <cmath>

#include "io/text/spm_tokenizer.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

constexpr std::int32_t kUserDefined = -2;  // id of a symbol that joins nothing; the piece is looked up again

}  // namespace

std::vector<Symbol> SpmTokenizer::characters(std::string_view text) const {
  std::vector<Symbol> symbols;
  symbols.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const ByteTrie::Match user = normalizer_.user_defined().longest(text.substr(at));
    const std::size_t length = user.length > 0 ? user.length : first_code_point(text.substr(at)).length;
    append_symbol(symbols, static_cast<std::int32_t>(length), user.length > 0 ? kUserDefined : -1);
    at += length;
  }
  return symbols;
}

void SpmTokenizer::encode_bpe(std::string_view text, Sink& sink) const {
  std::vector<Symbol> symbols = characters(text);
  // Unused pieces take part in joins and are cut again afterwards, where they were last put together.
  std::unordered_map<std::int32_t, std::int32_t> cut_unused;  // id -> length of the left part
  merge_symbols(symbols, [&](const Symbol& left, const Symbol& right) -> std::optional<Joined> {
    if (left.id == kUserDefined || right.id == kUserDefined) return std::nullopt;
    const std::int32_t id = find_piece(text.substr(static_cast<std::size_t>(left.begin),
                                                   static_cast<std::size_t>(left.length + right.length)));
    if (id < 0) return std::nullopt;
    const Token& piece = tokens()[static_cast<std::size_t>(id)];
    if (piece.type == TokenType::unused) cut_unused[id] = left.length;
    return Joined{-static_cast<double>(piece.score), id};
  });
  std::vector<std::string_view> parts;
  for (std::int32_t i = 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next) {
    const Symbol& symbol = symbols[static_cast<std::size_t>(i)];
    parts = {text.substr(static_cast<std::size_t>(symbol.begin), static_cast<std::size_t>(symbol.length))};
    while (!parts.empty()) {
      const std::string_view part = parts.back();
      parts.pop_back();
      const std::int32_t id = find_piece(part);
      const auto cut = id >= 0 && type_of(id) == TokenType::unused ? cut_unused.find(id) : cut_unused.end();
      if (cut == cut_unused.end()) {
        emit(part, id, sink);
      } else {
        parts.push_back(part.substr(static_cast<std::size_t>(cut->second)));
        parts.push_back(part.substr(0, static_cast<std::size_t>(cut->second)));
      }
    }
  }
}

namespace {

// The best way to cut the text up to here ends with a piece from `begin`.
struct End {
  std::int32_t id = -1, begin = -1;  // id -1: unknown; begin -1: no way yet
  float score = 0;
};

}  // namespace

// Viterbi over the ends of pieces. Sums are float and start again from 0 beyond 100,000, both as
// SentencePiece has it, so that ties fall alike.
void SpmTokenizer::encode_unigram(std::string_view text, Sink& sink) const {
  constexpr float kRebase = 100'000;
  std::vector<End> ends(text.size() + 1);
  std::size_t reached = 0;  // the furthest end so far
  for (std::size_t at = 0; at < text.size();) {
    if (const float sum = ends[at].score; std::abs(sum) > kRebase)
      for (std::size_t i = at; i <= reached; ++i) ends[i].score -= i == at || ends[i].begin >= 0 ? sum : 0;
    const float here = ends[at].score;
    const std::size_t character = first_code_point(text.substr(at)).length;
    bool covered = false;
    const auto offer = [&](std::size_t length, std::int32_t id, float score) {
      reached = std::max(reached, at + length);
      End& end = ends[at + length];
      if (end.begin < 0 || here + score > end.score) end = {id, static_cast<std::int32_t>(at), here + score};
    };
    trie_.prefixes(text.substr(at), [&](std::size_t length, std::int32_t id) {
      const Token& piece = tokens()[static_cast<std::size_t>(id)];
      if (piece.type == TokenType::unused) return;
      const bool user = piece.type == TokenType::user_defined;
      offer(length, id, user ? static_cast<float>(0.1 * static_cast<double>(length - 1)) : piece.score);
      covered = covered || length == character;
    });
    if (!covered) offer(character, -1, unknown_score_);
    at += character;
  }
  std::vector<std::pair<std::size_t, std::size_t>> path;  // begin, end; last first
  for (std::size_t end = text.size(); end > 0; end = path.back().first)
    path.emplace_back(static_cast<std::size_t>(ends[end].begin), end);
  for (auto part = path.rbegin(); part != path.rend(); ++part)
    emit(text.substr(part->first, part->second - part->first), ends[part->second].id, sink);
}

}  // namespace rankine
