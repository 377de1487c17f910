#include "io/text/bytelevel_tokenizer.h"

#include <algorithm>

#include "engine/core/error.h"
#include "io/text/byte_symbols.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

// Bytes in the order of byte_symbols.h: entry i is the byte with the id i.
const std::array<std::uint8_t, 256>& bytes_by_symbol() {
  static const auto table = [] {
    std::array<std::uint8_t, 256> bytes{};
    for (int b = 0; b < 256; ++b)
      bytes[static_cast<std::size_t>(id_of_byte(static_cast<std::uint8_t>(b)))] =
          static_cast<std::uint8_t>(b);
    return bytes;
  }();
  return table;
}

}  // namespace

std::string bytes_of_symbols(std::string_view symbols) {
  std::string bytes;
  for (std::size_t at = 0; at < symbols.size();) {
    const Utf8Char next = first_code_point(symbols.substr(at));
    const auto id = next.length > 0 ? byte_symbol_id(next.c) : std::nullopt;
    if (!id) return std::string(symbols);
    bytes += static_cast<char>(bytes_by_symbol()[static_cast<std::size_t>(*id)]);
    at += next.length;
  }
  return bytes;
}

std::string symbols_of_bytes(std::string_view bytes) {
  std::string symbols;
  for (const char c : bytes) append_utf8(symbols, code_point_of(id_of_byte(static_cast<std::uint8_t>(c))));
  return symbols;
}

ByteLevelTokenizer::ByteLevelTokenizer(Vocabulary vocabulary, const Merges& merges,
                                       const ByteLevelRules& rules)
    : VocabularyTokenizer(std::move(vocabulary)), rules_(rules) {
  index_tokens();
  const auto id_of = [&](std::string_view symbols) { return find_token(bytes_of_symbols(symbols)); };
  ranks_ = PairRanks(merges, id_of, file());
  set_fingerprint(join("byte-level ", int(rules_.pre), rules_.nfc, rules_.prefix_space, rules_.whole_words,
                       rules_.merge_by_rank, ' ', ranks_.fingerprint()));
}

void ByteLevelTokenizer::index_tokens() {
  bytes_.resize(tokens().size());
  for (std::size_t id = 0; id < tokens().size(); ++id) {
    const Token& t = tokens()[id];
    const bool mergeable = t.type == TokenType::normal && !t.text.empty();
    bytes_[id] = mergeable ? bytes_of_symbols(t.text) : t.text;
    if (!mergeable || is_added(static_cast<std::int32_t>(id))) continue;
    require<DataError>(ids_.emplace(bytes_[id], static_cast<std::int32_t>(id)).second, file(), ": token ", id,
                       " ", shown_token(t.text), " is there twice");
    longest_ = std::max(longest_, bytes_[id].size());
  }
  for (int b = 0; b < 256; ++b) {
    const char byte = static_cast<char>(b);
    byte_ids_[static_cast<std::size_t>(b)] = find_token({&byte, 1});
    require<DataError>(byte_ids_[static_cast<std::size_t>(b)] >= 0, file(), ": no token for the byte ", b,
                       ": some texts would have no ids");
  }
}

std::int32_t ByteLevelTokenizer::find_token(std::string_view bytes) const {
  if (bytes.size() > longest_) return -1;
  const auto at = ids_.find(bytes);
  return at == ids_.end() ? -1 : at->second;
}

void ByteLevelTokenizer::encode_part(std::string_view text, PartPlace place,
                                     std::vector<std::int32_t>& ids) const {
  std::u32string points = decode_utf8(text, "text to tokenize");
  if (rules_.nfc) points = to_nfc(points);
  if (rules_.prefix_space && place != PartPlace::inside && points[0] != U' ') points.insert(0, 1, U' ');
  std::string word;
  std::size_t from = 0;
  for (const std::size_t end : cut_words(points, rules_.pre)) {
    word.clear();
    for (; from < end; ++from) append_utf8(word, points[from]);
    cache_.append(word, ids,
                  [this](std::string_view w, std::vector<std::int32_t>& out) { encode_word(w, out); });
  }
}

void ByteLevelTokenizer::encode_word(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (rules_.whole_words) {
    if (const std::int32_t id = find_token(word); id >= 0) return ids.push_back(id);
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (const char c : word) append_symbol(symbols, 1, byte_ids_[static_cast<std::uint8_t>(c)]);
  if (rules_.merge_by_rank) {
    merge_symbols(symbols, [&](const Symbol& left, const Symbol& right) -> std::optional<Joined> {
      const std::int32_t id = find_token(word.substr(static_cast<std::size_t>(left.begin),
                                                     static_cast<std::size_t>(left.length + right.length)));
      return id < 0 ? std::nullopt : std::optional(Joined{static_cast<double>(id), id});
    });
  } else {
    merge_symbols(symbols,
                  [&](const Symbol& left, const Symbol& right) { return ranks_.find(left.id, right.id); });
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next)
    ids.push_back(symbols[static_cast<std::size_t>(i)].id);
}

}  // namespace rankine
