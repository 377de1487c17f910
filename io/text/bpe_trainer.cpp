#include "io/text/bpe_trainer.h"

#include <cstdint>
#include <map>
#include <unordered_set>
#include <vector>

#include "engine/core/error.h"
#include "io/text/byte_symbols.h"
#include "io/text/clean_text.h"
#include "io/text/clip_tokenizer.h"
#include "io/text/pair_counts.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

constexpr std::string_view kStart = "<|startoftext|>", kEnd = "<|endoftext|>";

// The distinct words with their numbers, in the order of their spelling.
std::vector<CountedWord> count_words(std::span<const std::string> texts) {
  std::map<std::string, std::int64_t> counts;
  for (const std::string& text : texts)
    for (std::string& word : split_clip_words(clean_clip_text(decode_utf8(text, "caption"))))
      ++counts[std::move(word)];
  std::vector<CountedWord> words;
  for (const auto& [text, count] : counts) {
    if (text == kStart || text == kEnd) continue;
    CountedWord& word = words.emplace_back(CountedWord{{}, count});
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
  std::vector<CountedWord> words = count_words(texts);
  PairCounts pairs(words);
  std::vector<std::string> symbols;
  symbols.reserve(static_cast<std::size_t>(kFirstMerge + merges));
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
