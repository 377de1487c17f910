#include "io/text/bpe_trainer.h"

#include <cstdint>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/core/error.h"
#include "io/text/byte_symbols.h"
#include "io/text/clean_text.h"
#include "io/text/clip_tokenizer.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>";

using Pair = std::pair<std::int32_t, std::int32_t>;

struct Word {
  std::vector<std::int32_t> symbols;
  std::int64_t count;
};

// How often each pair of neighbours occurs, and in which words; kept up to date as words change.
class PairCounts {
 public:
  explicit PairCounts(std::vector<Word>& words) : words_(words) {
    for (std::size_t i = 0; i < words_.size(); ++i) count(i, +1);
  }

  // The most frequent pair, of equals the smallest; a count of 0 when none is left.
  std::pair<Pair, std::int64_t> best() const {
    if (order_.empty()) return {{0, 0}, 0};
    return {order_.begin()->second, -order_.begin()->first};
  }

  void forget(const Pair& pair) { order_.erase({-pairs_[pair].count, pair}); }

  void merge(const Pair& pair, std::int32_t id) {
    const std::set<std::size_t> where = pairs_[pair].words;
    for (const std::size_t i : where) {
      count(i, -1);
      replace(words_[i].symbols, pair, id);
      count(i, +1);
    }
  }

 private:
  struct Occurrences {
    std::int64_t count = 0;
    std::set<std::size_t> words;
  };

  static void replace(std::vector<std::int32_t>& symbols, const Pair& pair, std::int32_t id) {
    std::size_t to = 0;
    for (std::size_t from = 0; from < symbols.size(); ++from) {
      const bool here =
          from + 1 < symbols.size() && symbols[from] == pair.first && symbols[from + 1] == pair.second;
      symbols[to++] = here ? id : symbols[from];
      if (here) ++from;
    }
    symbols.resize(to);
  }

  void count(std::size_t word, int sign) {
    const auto& symbols = words_[word].symbols;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const Pair pair{symbols[i], symbols[i + 1]};
      Occurrences& o = pairs_[pair];
      const bool listed = order_.erase({-o.count, pair}) > 0;
      const bool fresh = o.count == 0;
      o.count += sign * words_[word].count;
      if (sign > 0) o.words.insert(word);
      if (sign < 0) o.words.erase(word);
      if (o.count > 0 && (listed || fresh)) order_.insert({-o.count, pair});
    }
  }

  std::vector<Word>& words_;
  std::map<Pair, Occurrences> pairs_;
  std::set<std::pair<std::int64_t, Pair>> order_;  // (-count, pair) of the pairs that may be merged
};

// The distinct words with their numbers, in the order of their spelling.
std::vector<Word> count_words(std::span<const std::string> texts) {
  std::map<std::string, std::int64_t> counts;
  for (const std::string& text : texts)
    for (std::string& word : split_clip_words(clean_clip_text(decode_utf8(text, "caption"))))
      ++counts[std::move(word)];
  std::vector<Word> words;
  for (const auto& [text, count] : counts) {
    if (text == kStart || text == kEnd) continue;
    Word& word = words.emplace_back(Word{{}, count});
    for (const char c : text) word.symbols.push_back(id_of_byte(static_cast<std::uint8_t>(c)));
    word.symbols.back() += kWordEnd;
  }
  return words;
}

std::string written(std::int32_t byte_id) {
  std::string text;
  append_utf8(text, code_point_of(byte_id % kByteSymbols));
  return byte_id >= kWordEnd ? text + "</w>" : text;
}

}  // namespace

std::string train_clip_merges(std::span<const std::string> texts, int merges) {
  require<ConfigError>(merges >= 0 && merges <= ClipTokenizer::kMaxMerges, "vocabulary: merges must be 0 to ",
                       ClipTokenizer::kMaxMerges, ", not ", merges);
  std::vector<Word> words = count_words(texts);
  PairCounts pairs(words);
  std::vector<std::string> symbols;
  for (std::int32_t id = 0; id < kFirstMerge; ++id) symbols.push_back(written(id));
  std::unordered_set<std::string> taken(symbols.begin(), symbols.end());
  std::string text = "#version: 0.2\n";
  for (int made = 0; made < merges;) {
    const auto [pair, count] = pairs.best();
    if (count == 0) break;
    std::string symbol = symbols[pair.first] + symbols[pair.second];
    if (!taken.insert(symbol)
             .second) {  // the same text was made from other parts: an id stands for one text only
      pairs.forget(pair);
      continue;
    }
    text += symbols[pair.first] + " " + symbols[pair.second] + "\n";
    symbols.push_back(std::move(symbol));
    pairs.merge(pair, static_cast<std::int32_t>(symbols.size()) - 1);
    ++made;
  }
  return text;
}

}  // namespace rankine
