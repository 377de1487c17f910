// UTF-8, character classes and letter case.
#include "io/text/unicode.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace rankine {
namespace {

TEST(Utf8, RoundTripOfEveryLength) {
  const std::string text = "a\u00e9\u20ac\U0001F642";
  const std::u32string code_points = decode_utf8(text, "t");
  EXPECT_EQ(code_points, U"a\u00e9\u20ac\U0001F642");
  EXPECT_EQ(encode_utf8(code_points), text);
  for (const char32_t c :
       {0x0U, 0x7FU, 0x80U, 0x7FFU, 0x800U, 0xD7FFU, 0xE000U, 0xFFFFU, 0x10000U, 0x10FFFFU}) {
    std::string one;
    append_utf8(one, c);
    EXPECT_EQ(decode_utf8(one, "t"), std::u32string(1, c));
  }
}

TEST(Utf8, RefusesInvalidSequences) {
  for (const char* bad :
       {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xe2\x82", "\xe2\x28\xa1"}) {
    const std::string text = std::string("ok") + bad;
    EXPECT_THROW(decode_utf8(text, "t"), DataError);
    try {
      decode_utf8(text, "t");
    } catch (const DataError& e) {
      EXPECT_STREQ(e.what(), "t: byte 2: the text is not valid UTF-8");
    }
  }
}

TEST(CharacterClasses, OfSomeScripts) {
  for (const char32_t c : U"aZ\u00aa\u00e9\u0100\u03a9\u0416\u05d0\u0627\u0915\u3042\u4e00\uac00\U00020000") {
    if (c == 0) continue;  // the end of the literal
    EXPECT_TRUE(is_letter(c)) << std::hex << static_cast<std::uint32_t>(c);
    EXPECT_FALSE(is_number(c));
  }
  for (const char32_t c :
       {U'0', U'9', U'\u00b2', U'\u00bd', U'\u0663', U'\u2167', U'\u2460', U'\u3007', U'\U0001D7CE'}) {
    EXPECT_TRUE(is_number(c)) << std::hex << static_cast<std::uint32_t>(c);
    EXPECT_FALSE(is_letter(c));
  }
  for (const char32_t c : {U' ', U'!', U'_', U'\u0301', U'\u17d2', U'\u3000', U'\u2014', U'\U0001F642',
                           U'\u00d7', U'\u00f7', char32_t{0x10FFFF}, char32_t{0xD800}}) {
    EXPECT_FALSE(is_letter(c)) << std::hex << static_cast<std::uint32_t>(c);
    EXPECT_FALSE(is_number(c)) << std::hex << static_cast<std::uint32_t>(c);
  }
  for (const char32_t c : {U' ', U'\t', U'\n', U'\r', U'\u00a0', U'\u2003', U'\u2028', U'\u3000'})
    EXPECT_TRUE(is_space(c));
  for (const char32_t c : {U'a', U'\u200b', U'\ufeff', U'\u001c'}) EXPECT_FALSE(is_space(c));
}

TEST(LowerCase, OfSomeScripts) {
  EXPECT_EQ(to_lower(U"ABC xyz 123 \u00c9\u00d6 \u00df"), U"abc xyz 123 \u00e9\u00f6 \u00df");
  EXPECT_EQ(to_lower(U"\u0100\u0101\u0102 \u0178 \u0141"), U"\u0101\u0101\u0103 \u00ff \u0142");
  EXPECT_EQ(to_lower(U"\u0410\u042f\u0401\u0460 \u0531 \u10a0 \u2160 \u24b6"),
            U"\u0430\u044f\u0451\u0461 \u0561 \u2d00 \u2170 \u24d0");
  EXPECT_EQ(to_lower(U"\u1e9e \u212a \u0130"), U"\u00df k i\u0307");
  EXPECT_EQ(to_lower(U"\u4e00\U0001F642\U00010400"), U"\u4e00\U0001F642\U00010428");
  EXPECT_EQ(to_lower(U"\u039f\u0394\u039f\u03a3 \u03a3\u0391"),
            U"\u03bf\u03b4\u03bf\u03c2 \u03c3\u03b1");  // final sigma
  EXPECT_EQ(to_lower(U"\u0391\u03a3\u4e00 \u4e00\u03a3"), U"\u03b1\u03c2\u4e00 \u4e00\u03c3");
}

}  // namespace
}  // namespace rankine
