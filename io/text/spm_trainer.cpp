#include "io/text/spm_trainer.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "engine/core/error.h"
#include "io/text/pair_counts.h"
#include "io/text/unicode.h"
#include "io/text/vocabulary_tokenizer.h"

namespace rankine {
namespace {

constexpr char32_t kMark = U'\u2581';

enum class Kind { letter, ideograph, digit, sign, white };

Kind kind_of(char32_t c) {
  if (c == kMark) return Kind::sign;
  if (is_space(c) || c < 32) return Kind::white;
  if (is_number(c)) return Kind::digit;
  const bool cjk = (c >= 0x2E80 && c <= 0x9FFF && is_letter(c)) || (c >= 0xF900 && c <= 0xFAFF) ||
                   (c >= 0x20000 && c <= 0x3FFFF);
  if (cjk) return Kind::ideograph;
  return is_letter(c) ? Kind::letter : Kind::sign;
}

// Calls word(text) for each word; spaces are "▁" by now.
template <class Word>
void split_words(std::u32string_view text, bool split_digits, Word&& word) {
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = at;
    while (end < text.size() && text[end] == kMark) ++end;
    if (end > at + 1) --end;  // of several spaces the last one belongs to the word behind
    const bool spaces_alone = end < text.size() && text[end] == kMark;
    if (!spaces_alone && end < text.size()) {
      const Kind kind = kind_of(text[end]);
      const bool single = kind == Kind::white || (kind == Kind::digit && split_digits);
      if (single && end > at) {
        word(text.substr(at, end - at));  // the space before does not join it
        at = end;
      }
      for (++end; !single && end < text.size() && text[end] != kMark && kind_of(text[end]) == kind;) ++end;
    }
    word(text.substr(at, end - at));
    at = end;
  }
}

using Counts = std::map<std::u32string, std::int64_t>;

Counts count_words(std::span<const std::string> texts, bool split_digits) {
  Counts counts;
  for (const std::string& text : texts) {
    std::u32string points = decode_utf8(text, "text to train on");
    if (points.empty()) continue;
    std::replace(points.begin(), points.end(), U' ', kMark);
    points.insert(points.begin(), kMark);
    split_words(points, split_digits, [&](std::u32string_view word) { ++counts[std::u32string(word)]; });
  }
  return counts;
}

// The characters that get a piece, the frequent ones first; of equally frequent ones the smaller.
std::vector<char32_t> covered_characters(const Counts& words, double coverage) {
  std::map<char32_t, std::int64_t> counts;
  std::int64_t all = 0;
  for (const auto& [word, count] : words) {
    for (const char32_t c : word) counts[c] += count;
    all += count * static_cast<std::int64_t>(word.size());
  }
  std::vector<std::pair<std::int64_t, char32_t>> order;
  for (const auto& [c, count] : counts)
    if (c != 0) order.emplace_back(-count, c);
  std::sort(order.begin(), order.end());
  std::vector<char32_t> characters = {kMark};
  std::int64_t covered = counts[kMark];
  for (const auto& [count, c] : order) {
    if (static_cast<double>(covered) >= coverage * static_cast<double>(all)) break;
    if (c == kMark) continue;
    characters.push_back(c);
    covered -= count;
  }
  return characters;
}

class Trainer {
 public:
  Trainer(const Counts& counts, const std::vector<char32_t>& characters, std::int32_t longest)
      : longest_(longest) {
    std::unordered_map<char32_t, std::int32_t> ids;
    for (const char32_t c : characters) {
      ids.emplace(c, static_cast<std::int32_t>(symbols_.size()));
      symbols_.emplace_back(1, c);
    }
    for (const auto& [word, count] : counts) add_word(word, count, ids);
    for (std::size_t id = 0; id < symbols_.size(); ++id)
      ids_.emplace(symbols_[id], static_cast<std::int32_t>(id));
  }

  // Up to `wanted` joined texts in the order in which they were made.
  std::vector<std::u32string> learn(std::size_t wanted) {
    const std::size_t first = symbols_.size();
    PairCounts pairs(words_);
    while (symbols_.size() - first < wanted) {
      const auto [pair, count] = pairs.best();
      if (count == 0) break;
      std::u32string text =
          symbols_[static_cast<std::size_t>(pair.first)] + symbols_[static_cast<std::size_t>(pair.second)];
      if (text.size() > static_cast<std::size_t>(longest_)) {
        pairs.forget(pair);
        continue;
      }
      // A text that was made from other parts before is the same piece.
      const auto [at, fresh] = ids_.emplace(text, static_cast<std::int32_t>(symbols_.size()));
      if (fresh) symbols_.push_back(std::move(text));
      pairs.merge(pair, at->second);
    }
    return {symbols_.begin() + static_cast<std::ptrdiff_t>(first), symbols_.end()};
  }

 private:
  // A word is cut at characters without a piece.
  void add_word(const std::u32string& word, std::int64_t count,
                const std::unordered_map<char32_t, std::int32_t>& ids) {
    CountedWord part{{}, count};
    for (std::size_t i = 0; i <= word.size(); ++i) {
      const auto id = i < word.size() ? ids.find(word[i]) : ids.end();
      if (id != ids.end()) {
        part.symbols.push_back(id->second);
        continue;
      }
      if (part.symbols.size() > 1) words_.push_back(part);
      part.symbols.clear();
    }
  }

  std::int32_t longest_;
  std::vector<std::u32string> symbols_;
  std::map<std::u32string, std::int32_t> ids_;
  std::vector<CountedWord> words_;
};

void check_options(const SpmTrainerOptions& o) {
  require<ConfigError>(o.vocab_size > 0 && o.vocab_size <= static_cast<std::int32_t>(kMaxTokens),
                       "vocabulary: vocab_size must be 1 to ", kMaxTokens, ", not ", o.vocab_size);
  require<ConfigError>(o.character_coverage > 0 && o.character_coverage <= 1,
                       "vocabulary: character_coverage must be above 0 and at most 1, not ",
                       o.character_coverage);
  require<ConfigError>(o.longest_piece >= 1 && o.longest_piece <= 256,
                       "vocabulary: longest_piece must be 1 to 256, not ", o.longest_piece);
}

}  // namespace

SpmModel train_spm(std::span<const std::string> texts, const SpmTrainerOptions& options) {
  check_options(options);
  SpmModel model;
  model.kind = SpmKind::bpe;
  model.byte_fallback = true;
  model.remove_extra_whitespaces = false;
  model.pieces = {
      {"<unk>", 0, TokenType::unknown}, {"<s>", 0, TokenType::control}, {"</s>", 0, TokenType::control}};
  for (const std::string& name : options.controls) model.pieces.push_back({name, 0, TokenType::control});
  for (int byte = 0; byte < 256; ++byte)
    model.pieces.push_back({byte_piece(static_cast<std::uint8_t>(byte)), 0, TokenType::byte});
  std::unordered_set<std::string> taken;
  for (const Token& t : model.pieces)
    require<ConfigError>(!t.text.empty() && taken.insert(t.text).second, "vocabulary: the control token ",
                         shown_token(t.text), " is empty or there twice");

  const Counts words = count_words(texts, options.split_digits);
  const std::vector<char32_t> characters = covered_characters(words, options.character_coverage);
  const std::size_t fixed = model.pieces.size() + characters.size();
  require<ConfigError>(fixed <= static_cast<std::size_t>(options.vocab_size), "vocabulary: vocab_size ",
                       options.vocab_size, " does not hold ", model.pieces.size(),
                       " control tokens and bytes and ", characters.size(), " characters");
  Trainer trainer(words, characters, options.longest_piece);
  float score = 0;
  const auto append = [&](const std::string& text) {
    // A text spelled like a control token or a byte stays without a piece of its own.
    if (taken.insert(text).second) model.pieces.push_back({text, score--, TokenType::normal});
  };
  for (const std::u32string& text : trainer.learn(static_cast<std::size_t>(options.vocab_size) - fixed))
    append(encode_utf8(text));
  for (const char32_t c : characters) append(encode_utf8({&c, 1}));
  check_spm_model(model, "trained vocabulary");
  return model;
}

}  // namespace rankine
