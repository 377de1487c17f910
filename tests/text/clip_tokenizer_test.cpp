// The tokenizer with small vocabularies, hostile merges, windows of a prompt, and OpenAI's vocabulary where
// it is.
#include "io/text/clip_tokenizer.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/text/byte_symbols.h"

namespace rankine {
namespace {

using Ids = std::vector<std::int32_t>;

// ids: 512 "ca", 513 "cat</w>", 514 "do", 515 "dog</w>", 516 "aa", 517 "aaaa"
constexpr const char* kSmall = "#version: 0.2\nc a\nca t</w>\nd o\ndo g</w>\na a\naa aa\n";

std::int32_t byte_id(char c, bool end = false) {
  return id_of_byte(static_cast<std::uint8_t>(c)) + (end ? kWordEnd : 0);
}

std::string error_of(const std::string& merges) {
  try {
    ClipTokenizer t(merges, "m");
  } catch (const DataError& e) {
    return e.what();
  }
  return "no error";
}

TEST(ByteSymbols, EveryByteHasOneIdAndOneCodePoint) {
  std::vector<bool> seen(256);
  for (int b = 0; b < 256; ++b) {
    const std::int32_t id = id_of_byte(static_cast<std::uint8_t>(b));
    ASSERT_TRUE(id >= 0 && id < 256 && !seen[static_cast<std::size_t>(id)]) << b;
    seen[static_cast<std::size_t>(id)] = true;
    EXPECT_EQ(byte_symbol_id(code_point_of(id)), id) << b;
  }
  EXPECT_EQ(id_of_byte('!'), 0);
  EXPECT_EQ(id_of_byte(' '), 188 + 32);
  EXPECT_EQ(code_point_of(id_of_byte(' ')), U'\u0120');
  EXPECT_EQ(code_point_of(255), U'\u0143');  // byte 173
  EXPECT_FALSE(byte_symbol_id(U' ').has_value());
  EXPECT_FALSE(byte_symbol_id(U'\u0144').has_value());
}

TEST(ClipTokenizer, SmallVocabulary) {
  const ClipTokenizer t(kSmall);
  EXPECT_EQ(t.merge_count(), 6);
  EXPECT_EQ(t.bos(), 518);
  EXPECT_EQ(t.eos(), 519);
  EXPECT_EQ(t.vocab_size(), 520);
  EXPECT_EQ(t.encode("Cat  DOG"), (Ids{513, 515}));
  EXPECT_EQ(t.encode("cats"), (Ids{512, byte_id('t'), byte_id('s', true)}));
  EXPECT_EQ(t.encode("a"), (Ids{byte_id('a', true)}));
  EXPECT_EQ(t.encode("aaaaaaab"),
            (Ids{517, 516, byte_id('a'), byte_id('b', true)}));  // equal pairs: the left one first
  EXPECT_EQ(t.encode("\u00e9"), (Ids{byte_id('\xc3'), byte_id('\xa9', true)}));
  EXPECT_EQ(t.encode("cat<|endoftext|>"), (Ids{513, 519}));
  EXPECT_EQ(t.encode(" \n"), Ids{});
  EXPECT_THROW(t.encode("\xff"), DataError);
}

TEST(ClipTokenizer, NoMerges) {
  const ClipTokenizer t("");
  EXPECT_EQ(t.vocab_size(), 514);
  EXPECT_EQ(t.encode("ab"), (Ids{byte_id('a'), byte_id('b', true)}));
  EXPECT_EQ(t.merges_text(), "#version: 0.2\n");
}

TEST(ClipTokenizer, TextRoundTripAndSymbols) {
  const ClipTokenizer t(kSmall);
  EXPECT_EQ(t.merges_text(), kSmall);
  EXPECT_EQ(t.symbol(513), "cat</w>");
  EXPECT_EQ(t.symbol(518), "<|startoftext|>");
  EXPECT_EQ(t.symbol(id_of_byte(' ')), "\u0120");
  EXPECT_THROW(t.symbol(520), DataError);
  EXPECT_THROW(t.symbol(-1), DataError);
  const ClipTokenizer windows("#version: 0.2\r\nc a\r\nca t</w>\r\n");
  EXPECT_EQ(windows.encode("cat"), (Ids{513}));
  const ClipTokenizer bare("c a\nca t</w>");  // no version line, no line end
  EXPECT_EQ(bare.encode("cat"), (Ids{513}));
}

TEST(ClipTokenizer, ALongWordTakesLittleTime) {
  const ClipTokenizer t(kSmall);
  const Ids ids = t.encode(std::string(400'000, 'a'));  // quadratic work would take minutes
  EXPECT_EQ(ids.size(), 100'000U + 1 + 1);
  EXPECT_EQ(ids.back(), byte_id('a', true));
}

TEST(ClipTokenizer, HostileMerges) {
  EXPECT_EQ(error_of("a b\na b"), "m:2: the pair 'a b' is there twice");
  EXPECT_EQ(error_of("a b\nb c\nab c\na bc"), "m:4: 'a bc' makes a symbol that is there already");
  EXPECT_EQ(error_of("ab c"), "m:1: the symbol 'ab' is neither a byte nor made by an earlier merge");
  EXPECT_EQ(error_of("a bc\nb c"), "m:1: the symbol 'bc' is neither a byte nor made by an earlier merge");
  EXPECT_EQ(error_of("a</w> b"), "m:1: 'a</w>' ends a word, nothing can follow it");
  EXPECT_EQ(error_of("a b\n\nb c\n"), "m:2: expected two symbols with one space between, got ''");
  for (const char* bad : {"a", "a ", " a", "a b c", "a  b", "a\tb"})
    EXPECT_NE(error_of(bad).find("expected two symbols"), std::string::npos) << bad;
  EXPECT_NE(error_of("a \xff").find("UTF-8"), std::string::npos);
  EXPECT_NE(error_of("a \u20ac").find("neither a byte"), std::string::npos);
  EXPECT_NE(error_of(std::string(2 << 20, 'a')).find("is no merge"), std::string::npos);
  std::string many = "#version\n";
  for (int i = 0; i < 300'001; ++i) many += "x\n";
  EXPECT_NE(error_of(many), "no error");
}

TEST(ClipTokenizer, LinesAfterTheLastMergeAreNotUsed) {
  // 188 x 188 pairs of printable bytes, then triples: all distinct, more than a CLIP vocabulary holds.
  std::string text;
  std::vector<std::string> symbols;
  for (std::int32_t id = 0; id < 94; ++id) symbols.emplace_back(1, static_cast<char>(code_point_of(id)));
  int lines = 0;
  for (const auto& a : symbols)
    for (const auto& b : symbols) text += a + " " + b + "\n", ++lines;
  for (const auto& a : symbols)
    for (const auto& b : symbols)
      for (int c = 0; c < 6; ++c) text += a + b + " " + symbols[static_cast<std::size_t>(c)] + "\n", ++lines;
  ASSERT_GT(lines, ClipTokenizer::kMaxMerges);
  const ClipTokenizer t(text + "this is no merge\n");
  EXPECT_EQ(t.merge_count(), ClipTokenizer::kMaxMerges);
  EXPECT_EQ(t.vocab_size(), 49408);
}

// ---- windows ----

PromptTokens windows(const ClipTokenizer& t, int tokens, int max_tokens, std::int32_t pad) {
  std::string prompt;
  for (int i = 0; i < tokens; ++i) prompt += "cat ";
  return tokenize_prompt(t, prompt, max_tokens, pad);
}

TEST(PromptWindows, PaddingAfterOneEos) {
  const ClipTokenizer t(kSmall);
  const auto w = windows(t, 2, 75, 0).windows;
  ASSERT_EQ(w.size(), 1U);
  EXPECT_EQ((Ids{w[0].begin(), w[0].begin() + 5}), (Ids{t.bos(), 513, 513, t.eos(), 0}));
  EXPECT_EQ(w[0][76], 0);
  const auto eos = windows(t, 2, 75, t.eos()).windows;
  EXPECT_TRUE(std::all_of(eos[0].begin() + 3, eos[0].end(), [&](auto id) { return id == t.eos(); }));
}

TEST(PromptWindows, AreCutAtFixedPlaces) {
  const ClipTokenizer t(kSmall);
  for (const int max_tokens : {75, 150, 225}) {
    for (const int tokens : {0, 1, 74, 75, 76, 149, 150, 151, 224, 225, 226, 400}) {
      const auto w = windows(t, tokens, max_tokens, 0).windows;
      ASSERT_EQ(w.size(), static_cast<std::size_t>(max_tokens / 75));
      int left = std::min(tokens, max_tokens);
      for (const auto& window : w) {
        const int here = std::min(left, 75);
        left -= here;
        EXPECT_EQ(window[0], t.bos());
        for (int i = 1; i < 77; ++i)
          EXPECT_EQ(window[i], i <= here       ? 513
                               : i == here + 1 ? t.eos()
                                               : 0)
              << tokens << "/" << max_tokens << " " << i;
      }
    }
  }
}

TEST(PromptWindows, RefusesOtherSizes) {
  const ClipTokenizer t(kSmall);
  for (const int bad : {0, 74, 76, 77, 300, -75}) EXPECT_THROW(tokenize_prompt(t, "x", bad, 0), ConfigError);
  EXPECT_THROW(tokenize_prompt(t, "x", 75, t.vocab_size()), ConfigError);
  EXPECT_THROW(tokenize_prompt(t, "x", 75, -1), ConfigError);
}

// ---- OpenAI's vocabulary ----

class OpenAiVocabulary : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(RANKINE_SOURCE_DIR) / "../shared/data/tokenizers";
    if (!exists(folder_ / "bpe_simple_vocab_16e6.txt.gz"))
      GTEST_SKIP() << "SKIPPED: no vocabulary in " << folder_;
    tokenizer_.emplace(ClipTokenizer::from_file(folder_ / "bpe_simple_vocab_16e6.txt.gz"));
  }
  std::filesystem::path folder_;
  std::optional<ClipTokenizer> tokenizer_;
};

TEST_F(OpenAiVocabulary, RecordedPrompts) {
  EXPECT_EQ(tokenizer_->bos(), 49406);
  EXPECT_EQ(tokenizer_->eos(), 49407);
  const auto json = nlohmann::json::parse(std::ifstream(folder_ / "clip_bpe_cases.json"));
  ASSERT_GE(json.at("cases").size(), 20U);
  for (const auto& c : json.at("cases"))
    EXPECT_EQ(tokenizer_->encode(c.at("text").get<std::string>()), c.at("ids").get<Ids>()) << c.at("text");
}

// Recorded with the tokenizer files of SD 1.5.
TEST_F(OpenAiVocabulary, PublishedVectors) {
  const std::vector<std::pair<std::string, Ids>> cases = {
      {"a photo of a cat", {320, 1125, 539, 320, 2368}},
      {"A  Photo, of\tthe cat's 123 hats!!", {320, 1125, 267, 539, 518, 2368, 568, 272, 273, 274, 9812, 748}},
      {"1girl, solo, masterpiece", {272, 1611, 267, 5797, 267, 12066}},
      {"h\u00e9llo w\u00f6rld", {71, 3459, 19293, 86, 31762, 730}},
      {"\u732b cat", {163, 234, 360, 2368}},
      {"\U0001F642", {14860}}};
  for (const auto& [text, ids] : cases) EXPECT_EQ(tokenizer_->encode(text), ids) << text;
}

TEST_F(OpenAiVocabulary, SerialisesToTheSameTokenizer) {
  const ClipTokenizer again(tokenizer_->merges_text());
  EXPECT_EQ(again.vocab_size(), 49408);
  EXPECT_EQ(again.merges_text(), tokenizer_->merges_text());
  EXPECT_EQ(again.encode("masterpiece"), (Ids{12066}));
}

}  // namespace
}  // namespace rankine
