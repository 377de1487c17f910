// Learned vocabularies.
#include "io/text/bpe_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "engine/core/error.h"
#include "io/text/clip_tokenizer.h"

namespace rankine {
namespace {

using Texts = std::vector<std::string>;

TEST(BpeTrainer, TakesTheMostFrequentPairFirst) {
  // a b: 5 times (3 of them in abc); then ab c</w>: 3; then ab d</w>: 2
  EXPECT_EQ(train_clip_merges(Texts{"abc abc", "Abc abd abd"}, 10),
            "#version: 0.2\na b\nab c</w>\nab d</w>\n");
  EXPECT_EQ(train_clip_merges(Texts{"abc abc", "Abc abd abd"}, 1), "#version: 0.2\na b\n");
  EXPECT_EQ(train_clip_merges(Texts{}, 10), "#version: 0.2\n");
  EXPECT_EQ(train_clip_merges(Texts{"abc"}, 0), "#version: 0.2\n");
}

TEST(BpeTrainer, TiesGoToTheSmallestIds) {
  EXPECT_EQ(train_clip_merges(Texts{"cd ab"}, 2), "#version: 0.2\na b</w>\nc d</w>\n");
}

TEST(BpeTrainer, SpecialTextsAreNoWords) {
  EXPECT_EQ(train_clip_merges(Texts{"<|endoftext|> <|startoftext|>"}, 5), "#version: 0.2\n");
}

TEST(BpeTrainer, TheOrderOfTextsDoesNotMatter) {
  Texts texts{"a red cat on a mat", "a blue dog", "two red dogs, 3 cats",
              "caf\u00e9 na\u00efve \u732b\u732b"};
  const std::string merges = train_clip_merges(texts, 40);
  std::reverse(texts.begin(), texts.end());
  EXPECT_EQ(train_clip_merges(texts, 40), merges);
}

TEST(BpeTrainer, FrequentWordsBecomeOneToken) {
  const Texts texts(20, "a cyberpunk street at night, neon lights");
  const ClipTokenizer t(train_clip_merges(texts, 200));
  EXPECT_EQ(t.encode("a cyberpunk street at night, neon lights").size(), 8U);
  EXPECT_EQ(t.symbol(t.encode("Cyberpunk")[0]), "cyberpunk</w>");
}

// The definition, without any bookkeeping: count all pairs anew for every merge.
std::string slow_merges(const std::vector<std::pair<std::string, int>>& words, int merges) {
  std::vector<std::pair<std::vector<std::string>, int>> split;
  for (const auto& [word, count] : words) {
    std::vector<std::string> symbols;
    for (const char c : word) symbols.emplace_back(1, c);
    symbols.back() += "</w>";
    split.emplace_back(symbols, count);
  }
  std::map<std::string, int> id;  // only lower-case letters occur; ids grow as in the tokenizer
  for (char c = 'a'; c <= 'z'; ++c) id[std::string(1, c)] = c, id[std::string(1, c) + "</w>"] = 1000 + c;
  std::string text = "#version: 0.2\n";
  for (int made = 0; made < merges; ++made) {
    std::map<std::pair<int, int>, std::pair<int, std::pair<std::string, std::string>>> counts;
    for (const auto& [symbols, count] : split)
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
        auto& entry = counts[{id[symbols[i]], id[symbols[i + 1]]}];
        entry.first += count;
        entry.second = {symbols[i], symbols[i + 1]};
      }
    const std::pair<int, std::pair<std::string, std::string>>* best = nullptr;
    for (const auto& [key, entry] : counts)
      if ((best == nullptr || entry.first > best->first) &&
          id.count(entry.second.first + entry.second.second) == 0)
        best = &entry;
    if (best == nullptr) break;
    const auto [left, right] = best->second;
    text += left + " " + right + "\n";
    id[left + right] = 2000 + made;
    for (auto& [symbols, count] : split)
      for (std::size_t i = 0; i + 1 < symbols.size(); ++i)
        if (symbols[i] == left && symbols[i + 1] == right) {
          symbols[i] += right;
          symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        }
  }
  return text;
}

TEST(BpeTrainer, AgreesWithTheDefinition) {
  std::mt19937 random(11);
  for (int round = 0; round < 30; ++round) {
    std::map<std::string, int> words;
    for (int n = 0; n < 25; ++n) {
      std::string word;
      for (unsigned length = 1 + random() % 9; length > 0; --length)
        word += static_cast<char>('a' + random() % 3);
      words[word] += 1 + static_cast<int>(random() % 4);
    }
    Texts texts;
    for (const auto& [word, count] : words)
      for (int i = 0; i < count; ++i) texts.push_back(word);
    const std::string merges = train_clip_merges(texts, 60);
    EXPECT_EQ(merges, slow_merges({words.begin(), words.end()}, 60));
    EXPECT_NO_THROW(ClipTokenizer(merges, "learned"));
  }
}

TEST(BpeTrainer, RefusesBadInput) {
  EXPECT_THROW(train_clip_merges(Texts{"\xff"}, 5), DataError);
  EXPECT_THROW(train_clip_merges(Texts{"a"}, -1), ConfigError);
  EXPECT_THROW(train_clip_merges(Texts{"a"}, ClipTokenizer::kMaxMerges + 1), ConfigError);
}

}  // namespace
}  // namespace rankine
