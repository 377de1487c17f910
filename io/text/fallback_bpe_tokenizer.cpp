#include "io/text/fallback_bpe_tokenizer.h"

#include <algorithm>

#include "engine/core/error.h"
#include "io/text/spm_model.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

std::string with_marks(std::string_view text) {
  std::string out;
  for (const char c : text) c == ' ' ? out += kSpaceMark : out += c;
  return out;
}

}  // namespace

FallbackBpeTokenizer::FallbackBpeTokenizer(Vocabulary vocabulary, const Merges& merges,
                                           const FallbackBpeRules& rules)
    : VocabularyTokenizer(std::move(vocabulary)), rules_(rules) {
  byte_ids_.fill(-1);
  for (std::int32_t id = 0; id < vocab_size(); ++id) {
    const Token& t = tokens()[static_cast<std::size_t>(id)];
    const bool plain = t.type == TokenType::normal || t.type == TokenType::byte;
    if (!plain || t.text.empty() || is_added(id)) continue;
    require<DataError>(ids_.emplace(t.text, id).second, file(), ": token ", id, " ", shown_token(t.text),
                       " is there twice");
    const int byte = rules_.byte_fallback ? byte_of_piece(t.text) : -1;
    if (byte >= 0) byte_ids_[static_cast<std::size_t>(byte)] = id;
  }
  const bool all_bytes = std::find(byte_ids_.begin(), byte_ids_.end(), -1) == byte_ids_.end();
  require<DataError>(all_bytes || specials().unk.has_value(), file(),
                     ": neither an unknown token nor one for each byte: some texts would have no ids");
  ranks_ = PairRanks(
      merges, [&](std::string_view text) { return find_token(text); }, file());
  set_fingerprint(join("fallback ", int(rules_.prefix), rules_.prefix_unless_space, rules_.byte_fallback,
                       rules_.fuse_unknown, rules_.whole_words, ' ', specials().unk.value_or(-1), ' ',
                       ranks_.fingerprint()));
}

std::int32_t FallbackBpeTokenizer::find_token(std::string_view text) const {
  const auto at = ids_.find(text);
  return at == ids_.end() ? -1 : at->second;
}

void FallbackBpeTokenizer::encode_part(std::string_view text, PartPlace place,
                                       std::vector<std::int32_t>& ids) const {
  using Prefix = FallbackBpeRules::Prefix;
  std::string marked = with_marks(text);
  const bool wanted =
      rules_.prefix == Prefix::first ? place == PartPlace::opening : place != PartPlace::inside;
  if (rules_.prefix != Prefix::never && wanted &&
      !(rules_.prefix_unless_space && marked.starts_with(kSpaceMark)))
    marked = std::string(kSpaceMark) + marked;
  if (rules_.whole_words) {
    if (const std::int32_t id = find_token(marked); id >= 0) return ids.push_back(id);
  }
  const std::string_view all = marked;
  std::vector<Symbol> symbols;
  symbols.reserve(all.size());
  const std::int32_t unk = specials().unk.value_or(-1);
  bool after_unknown = false;
  for (std::size_t at = 0; at < all.size();) {
    const std::string_view sign = all.substr(at, first_code_point(all.substr(at)).length);
    at += sign.size();
    const std::int32_t id = find_token(sign);
    const bool bytes = id < 0 && rules_.byte_fallback && std::all_of(sign.begin(), sign.end(), [&](char c) {
                         return byte_ids_[static_cast<std::uint8_t>(c)] >= 0;
                       });
    if (bytes) {
      for (const char c : sign) append_symbol(symbols, 1, byte_ids_[static_cast<std::uint8_t>(c)]);
    } else if (id < 0 && after_unknown && rules_.fuse_unknown) {
      symbols.back().length += static_cast<std::int32_t>(sign.size());
    } else {
      append_symbol(symbols, static_cast<std::int32_t>(sign.size()), id < 0 ? unk : id);
    }
    after_unknown = id < 0 && !bytes;
  }
  merge_symbols(symbols,
                [&](const Symbol& left, const Symbol& right) { return ranks_.find(left.id, right.id); });
  for (std::int32_t i = 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next)
    ids.push_back(symbols[static_cast<std::size_t>(i)].id);
}

std::string FallbackBpeTokenizer::token_bytes(std::int32_t id) const {
  const std::string_view text = tokens()[static_cast<std::size_t>(id)].text, mark = kSpaceMark;
  const int byte = rules_.byte_fallback ? byte_of_piece(text) : -1;
  if (byte >= 0) return {static_cast<char>(byte)};
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const bool space = text.substr(at).starts_with(mark);
    out += space ? ' ' : text[at];
    at += space ? mark.size() : 1;
  }
  return out;
}

}  // namespace rankine
