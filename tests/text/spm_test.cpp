// SentencePiece models: the file format, its refusals, and what small vocabularies make of texts.
#include <gtest/gtest.h>

#include <limits>

#include "io/text/protobuf.h"
#include "io/text/spm_tokenizer.h"
#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::error_of;
using test::Ids;
using test::small_spm;

std::unique_ptr<const Tokenizer> tokenizer_of(SpmModel model) {
  Vocabulary rest;
  rest.file = "m";
  rest.specials = {1, 2, std::nullopt, 0, {}, true};
  return std::make_unique<SpmTokenizer>(std::move(model), std::move(rest));
}

std::string refusal(const SpmModel& model) {
  return error_of([&] { check_spm_model(model, "m"); });
}

TEST(SpmModel, WrittenFilesReadBack) {
  SpmModel model = small_spm({"a", "ab"});
  model.pad = 2;
  model.charsmap = "";
  model.normalizer = "mine";
  model.escape_whitespaces = false;
  const SpmModel back = read_spm_model(write_spm_model(model), "m");
  ASSERT_EQ(back.pieces.size(), model.pieces.size());
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    EXPECT_EQ(back.pieces[id].text, model.pieces[id].text);
    EXPECT_EQ(back.pieces[id].score, model.pieces[id].score);
    EXPECT_EQ(back.pieces[id].type, model.pieces[id].type);
  }
  EXPECT_EQ(back.kind, SpmKind::bpe);
  EXPECT_TRUE(back.byte_fallback && back.add_dummy_prefix);
  EXPECT_FALSE(back.remove_extra_whitespaces || back.escape_whitespaces);
  EXPECT_EQ(back.normalizer, "mine");
  EXPECT_EQ(back.pad, 2);
}

TEST(SpmModel, DefaultsOfTheFormat) {
  std::string piece, file;
  write_proto_bytes(piece, 1, "<unk>");
  write_proto_varint(piece, 3, 2);
  write_proto_bytes(file, 1, piece);
  for (const char* name : {"<s>", "</s>"}) {
    piece.clear();
    write_proto_bytes(piece, 1, name);
    write_proto_bytes(file, 1, piece);
  }
  write_proto_bytes(file, 99, "unknown fields are passed over");
  const SpmModel model = read_spm_model(file, "m");
  EXPECT_EQ(model.kind, SpmKind::unigram);
  EXPECT_TRUE(model.add_dummy_prefix && model.remove_extra_whitespaces && model.escape_whitespaces);
  EXPECT_EQ(model.bos, 1);
  EXPECT_EQ(model.pieces[2].type, TokenType::normal);
}

TEST(SpmModel, DamagedFilesAreRefusedWithTheOffset) {
  EXPECT_EQ(error_of([] {
              read_spm_model(
                  "\x0a\x05"
                  "abc",
                  "m");
            }),
            "m: offset 2: a field needs 5 bytes, 3 are left");
  EXPECT_EQ(error_of([] { read_spm_model("\x0b", "m"); }),
            "m: offset 0: wire type 3; allowed are 0, 1, 2 and 5");
  EXPECT_EQ(error_of([] { read_spm_model(std::string(12, '\xff'), "m"); }),
            "m: offset 10: a number of more than ten bytes");
  EXPECT_EQ(error_of([] { read_spm_model("", "m"); }), "m: no SentencePiece model: it has no pieces");
  EXPECT_EQ(error_of([] { read_spm_model("\x08\x01", "m"); }),
            "m: offset 0: field 1 has wire type 0 where 2 is expected");
}

TEST(SpmModel, HostileVocabulariesAreRefused) {
  SpmModel model = small_spm({"a", "b"});
  model.pieces.back().text = "a";
  EXPECT_EQ(refusal(model), "m: piece 261 'a' is there twice");
  model.pieces.back() = {"b", std::numeric_limits<float>::quiet_NaN(), TokenType::normal};
  EXPECT_EQ(refusal(model), "m: piece 261 'b' has the score nan; it must be finite");
  model.pieces.back() = {"\xff", 0, TokenType::normal};
  EXPECT_NE(refusal(model).find("piece 261: byte 0: the text is not valid UTF-8"), std::string::npos);
  model.pieces.back() = {"", 0, TokenType::normal};
  EXPECT_EQ(refusal(model), "m: piece 261 '' is empty");
  model.pieces.back() = {std::string(5000, 'x'), 0, TokenType::normal};
  EXPECT_NE(refusal(model).find("has 5000 bytes; at most 4096 are allowed"), std::string::npos);
  model.pieces.back() = {"c", 0, TokenType::unknown};
  EXPECT_EQ(refusal(model), "m: 2 pieces of type unknown; exactly one is allowed");
  model.pieces.back() = {"c", 0, TokenType::byte};
  EXPECT_NE(refusal(model).find("expected is a text like '<0x0A>'"), std::string::npos);
  model = small_spm({"a"});
  model.eos = 261;
  EXPECT_EQ(refusal(model), "m: the special id 261 is outside of the 261 pieces");
  model = small_spm({"a"});
  model.pieces.erase(model.pieces.begin() + 7);
  EXPECT_EQ(refusal(model), "m: byte_fallback with 255 byte pieces; all 256 are needed");
}

TEST(SpmBpe, JoinsByScoreAndFallsBackToBytes) {
  const auto t = tokenizer_of(small_spm({"a", "b", "c", "bc", "ab", "abc", "\u2581a"}));  // ids 260 ..
  EXPECT_EQ(t->encode("abc", false), (Ids{265}));                                         // b+c, then a+bc
  EXPECT_EQ(t->encode("a"), (Ids{266}));
  EXPECT_EQ(t->encode("a", false), (Ids{260}));
  EXPECT_EQ(t->encode("a  b"), (Ids{266, 259, 259, 261}));
  EXPECT_EQ(t->encode("\u00e9", false), (Ids{3 + 0xC3, 3 + 0xA9}));
  EXPECT_EQ(t->encode("<s>", false), (Ids{3 + '<', 3 + 's', 3 + '>'}));
  EXPECT_EQ(t->encode(""), Ids{});
  EXPECT_THROW(t->encode("\xff"), DataError);
}

TEST(SpmBpe, RolesAndShownPieces) {
  const auto t = tokenizer_of(small_spm({"a", "\u2581a"}));
  EXPECT_EQ(t->vocab_size(), 262);
  EXPECT_EQ(t->piece(13), "<0x0A>");
  EXPECT_EQ(t->piece(261), "\u2581a");
  EXPECT_EQ(t->piece(9999), "[9999]");
  EXPECT_EQ(t->control("</s>"), 2);
  EXPECT_EQ(t->control("a"), std::nullopt);
  EXPECT_EQ(t->specials().stops, (Ids{2}));
  EXPECT_TRUE(t->specials().add_bos);
  EXPECT_EQ(t->decode(Ids{1, 261, 259, 3 + 0xC3, 2, 9999}), "a \xC3");
  EXPECT_THROW(t->decode(Ids{-1}), DataError);
  EXPECT_THROW(t->piece(-1), DataError);
}

TEST(SpmBpe, UnusedPiecesAreCutAgain) {
  SpmModel model = small_spm({"a", "b", "ab", "abb"});
  model.pieces[262].type = TokenType::unused;
  const auto t = tokenizer_of(std::move(model));
  EXPECT_EQ(t->encode("ab", false), (Ids{260, 261}));
  EXPECT_EQ(t->encode("abb", false), (Ids{263}));  // "ab" still leads to it
}

TEST(SpmBpe, LongTextsTakeLittleTime) {
  const auto t = tokenizer_of(small_spm({"a", "aa", "aaaa", "\u2581\u2581"}));
  EXPECT_EQ(t->encode(std::string(1 << 18, 'a'), false).size(),
            (1U << 18) / 4);  // quadratic work would take hours
  EXPECT_EQ(t->encode(std::string(1 << 18, ' '), false).size(), (1U << 18) / 2);
}

TEST(SpmUnigram, TheBestSumWins) {
  SpmModel model = small_spm({"a", "b", "ab", "abc", "c"});
  model.kind = SpmKind::unigram;
  const float scores[] = {-1, -1, -3, -2, -4};
  for (std::size_t i = 0; i < 5; ++i) model.pieces[260 + i].score = scores[i];
  model.pieces[259].score = -1;
  const auto t = tokenizer_of(std::move(model));
  EXPECT_EQ(t->encode("ab", false), (Ids{260, 261}));  // -2 against -3
  EXPECT_EQ(t->encode("abc", false), (Ids{263}));      // -2 against -6 and -7
  EXPECT_EQ(t->encode("d", false), (Ids{3 + 'd'}));
  EXPECT_EQ(t->encode("\u4f60", false).size(), 3U);
}

std::string charsmap(const std::vector<std::uint32_t>& units, const std::string& replacements) {
  std::string out;
  const auto number = [&](std::uint32_t n) {
    for (int i = 0; i < 4; ++i, n >>= 8) out += static_cast<char>(n & 0xFF);
  };
  number(static_cast<std::uint32_t>(units.size() * 4));
  for (const std::uint32_t u : units) number(u);
  return out + replacements;
}

TEST(Charsmap, ReplacesTheLongestMatch) {
  std::vector<std::uint32_t> units(256, 0x80000000);
  units[0] = 0;                              // root, base 0
  units['a'] = 'a' | 0x100 | 1U << 10;       // ends a word; base of children and value: 97 ^ 1 = 96
  units[96] = 0;                             // its value: replacement at 0
  units[96 ^ 'b'] = 'b' | 0x100 | 4U << 10;  // "ab": 2, value at 2 ^ 4 = 6
  units[6] = 2;
  const Charsmap map(charsmap(units, std::string("b\0\0", 3)), "m");
  EXPECT_EQ(map.longest("a").replacement, "b");
  EXPECT_EQ(map.longest("ac").length, 1U);
  EXPECT_EQ(map.longest("ab").length, 2U);
  EXPECT_EQ(map.longest("ab").replacement, "");
  EXPECT_EQ(map.longest("b").length, 0U);
  units[6] = 3;
  EXPECT_NE(error_of([&] {
              Charsmap(charsmap(units, std::string("b\0\0", 3)), "m");
            }).find("the replacement at 3 of 3 bytes"),
            std::string::npos);
}

TEST(Charsmap, NeverCutsACharacter) {
  std::vector<std::uint32_t> units(256, 0x80000000);
  units[0] = 0;
  units[0xC3] = 0xC3 | 0x100 | 1U << 10;  // the first byte of a character as a word of its own
  units[0xC2] = 0;
  const Charsmap map(charsmap(units, std::string("x\0", 2)), "m");
  EXPECT_EQ(map.longest("\u00e9").length, 0U);
}

TEST(Charsmap, HostileOnesAreRefused) {
  const auto refusal_of = [](const std::string& bytes) { return error_of([&] { Charsmap(bytes, "m"); }); };
  std::vector<std::uint32_t> units(256, 0x80000000);
  units[0] = 0;
  EXPECT_EQ(refusal_of(std::string("\4\0\0\0", 4)), "m: precompiled_charsmap: a trie of 4 bytes in 0");
  EXPECT_EQ(refusal_of("abc"), "m: precompiled_charsmap: 3 bytes; allowed are 4 to 4194304");
  EXPECT_NE(refusal_of(charsmap(units, "no end")).find("do not end with a NUL"), std::string::npos);
  EXPECT_NE(refusal_of(charsmap(units, std::string(2000, 'x') + '\0')).find("has 2000 bytes"),
            std::string::npos);
  EXPECT_NE(refusal_of(charsmap(units, std::string("\xff\0", 2))).find("UTF-8"), std::string::npos);
  std::vector<std::uint32_t> inside(256, 0x80000000);
  inside[0] = 0;
  inside['a'] = 'a' | 0x100 | 1U << 10;
  inside[96] = 1;  // the value: the second byte of a character
  EXPECT_NE(refusal_of(charsmap(inside, std::string("\u00e9\0", 3))).find("starts inside a character"),
            std::string::npos);
  // 'a' -> 'b' -> 'a' again: node a at 97, base 97 ^ x.
  std::vector<std::uint32_t> loop(256, 0x80000000);
  loop[0] = 0;
  loop['a'] = 'a' | 1U << 10;         // children at 96 ^ label
  loop[96 ^ 'b'] = 'b' | (2U) << 10;  // node 2, children at (2 ^ 2) ^ label = label: 'a' is node 97 again
  EXPECT_EQ(refusal_of(charsmap(loop, std::string(1, '\0'))),
            "m: precompiled_charsmap: unit 97 can be reached from itself");
}

}  // namespace
}  // namespace rankine
