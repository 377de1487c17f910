// How byte-level BPE cuts words, joins bytes and treats added tokens.
#include <gtest/gtest.h>

#include <thread>

#include "io/text/bytelevel_tokenizer.h"
#include "io/text/pretokenizer.h"
#include "io/text/unicode.h"
#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::error_of;
using test::Ids;
using test::small_bytelevel;
using Words = std::vector<std::string>;

Words words(const std::string& text, PreTokenizer rule) {
  const std::u32string points = decode_utf8(text, "t");
  Words out;
  std::size_t from = 0;
  for (const std::size_t end : cut_words(points, rule)) {
    out.push_back(encode_utf8(std::u32string_view(points).substr(from, end - from)));
    from = end;
  }
  return out;
}

TEST(PreTokenizer, Gpt2) {
  EXPECT_EQ(words("I'll say  it's 1234!!\n\n x", PreTokenizer::gpt2),
            (Words{"I", "'ll", " say", " ", " it", "'s", " 1234", "!!", "\n\n", " x"}));
  EXPECT_EQ(words("I'LL", PreTokenizer::gpt2), (Words{"I", "'", "LL"}));
  EXPECT_EQ(words("a \t", PreTokenizer::gpt2), (Words{"a", " \t"}));
  EXPECT_EQ(words("", PreTokenizer::gpt2), Words{});
}

TEST(PreTokenizer, Llama3AndQwen2) {
  EXPECT_EQ(words("I'LL\u00b7say 12345, (x)\n\n\n  y ", PreTokenizer::llama3),
            (Words{"I", "'LL", "\u00b7say", " ", "123", "45", ",", " (", "x", ")\n\n\n", " ", " y", " "}));
  EXPECT_EQ(words("x 123\u0663 \r\n \t z", PreTokenizer::qwen2),
            (Words{"x", " ", "1", "2", "3", "\u0663", " \r\n", " \t", " z"}));
  EXPECT_EQ(words("'\u017fa", PreTokenizer::llama3), (Words{"'\u017f", "a"}));
  EXPECT_EQ(words("\u4f60\u597d\uff0c\u4e16\u754c", PreTokenizer::qwen2),
            (Words{"\u4f60\u597d", "\uff0c\u4e16\u754c"}));
}

TEST(PreTokenizer, SingleDigits) {
  EXPECT_EQ(words("a 12  3", PreTokenizer::digits), (Words{"a", " ", "1", "2", "  ", "3"}));
  EXPECT_EQ(words("x y  z", PreTokenizer::digits), (Words{"x", " y", " ", " z"}));
}

TEST(PreTokenizer, IsKnownByItsExpression) {
  EXPECT_EQ(
      pretokenizer_of_regex(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"),
      PreTokenizer::gpt2);
  const std::string head = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|)",
                    tail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(pretokenizer_of_regex(head + R"(\p{N}{1,3})" + tail), PreTokenizer::llama3);
  EXPECT_EQ(pretokenizer_of_regex(head + R"(\p{N})" + tail), PreTokenizer::qwen2);
  EXPECT_EQ(pretokenizer_of_regex(head + R"(\p{N}+)" + tail), std::nullopt);
  EXPECT_EQ(pretokenizer_of_regex(head + R"(\p{N})" + tail + "x"), std::nullopt);
}

TEST(Nfc, ComposesOrdersAndLeavesExclusions) {
  EXPECT_EQ(to_nfc(U"e\u0301"), U"\u00e9");
  EXPECT_EQ(to_nfc(U"o\u0302\u0323"), U"\u1ed9");       // reordered: dot below first
  EXPECT_EQ(to_nfc(U"\u212b\u2126"), U"\u00c5\u03a9");  // other spellings
  EXPECT_EQ(to_nfc(U"\u0958"), U"\u0915\u093c");        // an exclusion comes apart
  EXPECT_EQ(to_nfc(U"\u1112\u1161\u11ab\u1112\u1161"), U"\ud55c\ud558");
  EXPECT_EQ(to_nfc(U"a\u0301\u0301"), U"\u00e1\u0301");  // the second mark is blocked by nothing to join
  EXPECT_EQ(to_nfc(U"\u0301a"), U"\u0301a");
  EXPECT_EQ(to_nfc(U"\u0344"), U"\u0308\u0301");
  EXPECT_EQ(to_nfc(U"a\u0328\u0301"), U"\u0105\u0301");
  EXPECT_EQ(to_nfc(U"plain"), U"plain");
}

TEST(ByteLevel, JoinsByRank) {
  const auto t = make_tokenizer(small_bytelevel({"b c", "a b", "\u0120 a", "a bc"}), "m");  // ids 256 ..
  EXPECT_EQ(t->encode("abc"), (Ids{259}));  // b c first, then a bc
  EXPECT_EQ(t->encode("ab"), (Ids{257}));
  EXPECT_EQ(t->encode(" a"), (Ids{258}));
  EXPECT_EQ(t->encode("abab"), (Ids{257, 257}));
  EXPECT_EQ(t->encode("\u00e9"), (Ids{0xC3, 0xA9}));
  EXPECT_EQ(t->decode(t->encode("abc \u00e9\n")), "abc \u00e9\n");
  EXPECT_EQ(t->piece(258), "\u0120a");
  EXPECT_THROW(t->encode("\xc3"), DataError);
}

TEST(ByteLevel, WholeWordsWhereTheRuleSaysSo) {
  GgufVocab v = small_bytelevel({"a b", "c d"});
  v.tokens.insert(v.tokens.begin() + 258, "abcd");  // no merge makes it
  v.types.insert(v.types.begin() + 258, 1);
  v.eos = 259;
  EXPECT_EQ(make_tokenizer(v, "m")->encode("abcd"), (Ids{256, 257}));
  v.pre = "llama-bpe";
  EXPECT_EQ(make_tokenizer(v, "m")->encode("abcd"), (Ids{258}));
}

TEST(ByteLevel, ControlTokensAreNotFoundInTextUserDefinedOnesAre) {
  const auto t = make_tokenizer(small_bytelevel({"a b"}), "m");
  const std::int32_t end = 257, think = 258;
  EXPECT_EQ(t->control("<|end|>"), end);
  EXPECT_EQ(t->control("<think>"), think);
  EXPECT_EQ(t->control("ab"), std::nullopt);
  EXPECT_EQ(t->encode("<|end|>").size(), 7U);
  EXPECT_EQ(t->encode("ab<think>ab"), (Ids{256, think, 256}));
  EXPECT_EQ(t->decode(Ids{256, end, think}), "ab<think>");
  EXPECT_EQ(t->specials().stops, (Ids{end}));
  EXPECT_FALSE(t->specials().add_bos);
}

TEST(ByteLevel, QwenNormalises) {
  const auto t = make_tokenizer(small_bytelevel({}, "qwen2"), "m");
  EXPECT_EQ(t->encode("e\u0301"), (Ids{0xC3, 0xA9}));
}

TEST(ByteLevel, LongTextsTakeLittleTime) {
  const auto t = make_tokenizer(small_bytelevel({"a a", "aa aa", "\u0120 \u0120"}, "llama3"), "m");
  EXPECT_EQ(t->encode(std::string(1 << 18, 'a')).size(), (1U << 18) / 4);
  EXPECT_EQ(t->encode(std::string(1 << 18, ' ')).size(), (1U << 18) / 2);
  std::string lines;
  for (int i = 0; i < 100'000; ++i) lines += " \n";
  EXPECT_EQ(t->decode(t->encode(lines)), lines);
}

TEST(ByteLevel, ManyThreadsGetTheSameIds) {
  const auto t = make_tokenizer(small_bytelevel({"a b", "ab ab"}), "m");
  std::string text;
  for (int i = 0; i < 20'000; ++i) text += join(" ab", i % 97, "abab");
  const Ids expected = t->encode(text);
  std::vector<Ids> got(4);
  std::vector<std::thread> threads;
  for (Ids& ids : got) threads.emplace_back([&] { ids = t->encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : got) EXPECT_EQ(ids, expected);
}

TEST(ByteLevel, HostileVocabulariesAreRefused) {
  const auto refusal = [](const GgufVocab& v) { return error_of([&] { make_tokenizer(v, "m"); }); };
  const GgufVocab good = small_bytelevel({"a b"});
  GgufVocab v = good;
  v.merges.push_back("a b");
  EXPECT_EQ(refusal(v), "m: merge 1 ('a' 'b') is there twice");
  v.merges = {"a c"};
  EXPECT_EQ(refusal(v), "m: merge 0 ('a' 'c'): 'ac' is no token");
  for (const char* bad : {"ab", "a ", " a", "a b c", ""}) {
    v.merges = {bad};
    EXPECT_NE(refusal(v).find("is not two symbols"), std::string::npos) << bad;
  }
  v = good;
  v.tokens[65] = "B";
  EXPECT_EQ(refusal(v), "m: token 66 'B' is there twice");
  v = good;
  v.tokens[65] = "AAA";
  EXPECT_EQ(refusal(v), "m: no token for the byte 65: some texts would have no ids");
  v = good;
  v.eos = 259;
  EXPECT_EQ(refusal(v), "m: the EOS token is 259; the vocabulary has ids 0 to 258");
  v.eos = -1;
  EXPECT_NE(refusal(v), "no error");
  v = good;
  v.types.pop_back();
  EXPECT_EQ(refusal(v), "m: tokenizer.ggml.token_type has 258 entries for 259 tokens");
  v = good;
  v.types[0] = 7;
  EXPECT_EQ(refusal(v), "m: tokenizer.ggml.token_type of token 0 is 7; allowed are 0 to 6");
  v = good;
  v.pre = "tekken";
  EXPECT_NE(refusal(v).find("tokenizer.ggml.pre is 'tekken'; known are gpt-2"), std::string::npos);
  v.model = "bert";
  EXPECT_EQ(refusal(v), "m: tokenizer.ggml.model is 'bert'; supported are llama and gpt2");
  EXPECT_EQ(refusal({}), "m: tokenizer.ggml.tokens is empty");
}

}  // namespace
}  // namespace rankine
