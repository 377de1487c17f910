// HTML entities, white space, and the pieces of a prompt. Expected texts are what Python's html.unescape
// gives.
#include "io/text/clean_text.h"

#include <gtest/gtest.h>

#include "io/text/unicode.h"

namespace rankine {
namespace {

std::string unescaped(const std::string& text) { return encode_utf8(html_unescape(decode_utf8(text, "t"))); }
std::string cleaned(const std::string& text) { return encode_utf8(clean_clip_text(decode_utf8(text, "t"))); }
std::vector<std::string> words(const std::string& text) { return split_clip_words(decode_utf8(text, "t")); }

TEST(HtmlUnescape, NamedEntities) {
  EXPECT_EQ(unescaped("&lt;a&gt; &amp; &quot;b&quot; &apos;c&apos;"), "<a> & \"b\" 'c'");
  EXPECT_EQ(unescaped("caf&eacute; &mdash; 5&nbsp;&euro; &hellip;"), "caf\u00e9 \u2014 5\u00a0\u20ac \u2026");
  EXPECT_EQ(unescaped("&copy 2024 &ampx &notit; &mdash &AMP"), "\u00a9 2024 &x \u00acit; &mdash &");
  EXPECT_EQ(unescaped("&unknown; & &; &&amp;& &a"), "&unknown; & &; &&& &a");
  EXPECT_EQ(unescaped("&amp;lt;"), "&lt;");
}

TEST(HtmlUnescape, NumericEntities) {
  EXPECT_EQ(unescaped("&#65;&#x42;&#X63;&#68 &#x1F642;"), "ABcD \U0001F642");
  EXPECT_EQ(unescaped("&#128;&#x99;&#129;"), "\u20ac\u2122\u0081");
  EXPECT_EQ(unescaped("&#0;&#xD800;&#x110000;&#99999999999999999999;"), "\ufffd\ufffd\ufffd\ufffd");
  EXPECT_EQ(unescaped("[&#1;&#xFFFE;&#x7f;]"), "[]");
  EXPECT_EQ(unescaped("&#; &#x; &#xg &#"), "&#; &#x; &#xg &#");
}

TEST(CleanClipText, UnescapesTwiceCollapsesAndLowers) {
  EXPECT_EQ(cleaned("  A\t\n B\u00a0\u3000C  "), "a b c");
  EXPECT_EQ(cleaned("&amp;lt;3"), "<3");
  EXPECT_EQ(cleaned("&amp;amp;lt;"), "&lt;");
  EXPECT_EQ(cleaned("&nbsp;x&nbsp;"), "x");
  EXPECT_EQ(cleaned(" \n "), "");
}

TEST(SplitClipWords, Pieces) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(words("a photo, of 12cats!!"), (Words{"a", "photo", ",", "of", "1", "2", "cats", "!!"}));
  EXPECT_EQ(words("don't we'll i'm they're it's x'd i've rock'n"),
            (Words{"don", "'t", "we", "'ll", "i", "'m", "they", "'re", "it", "'s", "x", "'d", "i", "'ve",
                   "rock", "'", "n"}));
  EXPECT_EQ(words("'tis ''s"), (Words{"'t", "is", "''", "s"}));
  EXPECT_EQ(words("<|startoftext|>a<|endoftext|>"), (Words{"<|startoftext|>", "a", "<|endoftext|>"}));
  EXPECT_EQ(words("!<|endoftext|>"), (Words{"!<|", "endoftext", "|>"}));
  EXPECT_EQ(words("\u732b\u00e9x\u0301y"), (Words{"\u732b\u00e9x", "\u0301", "y"}));
  EXPECT_EQ(words(""), Words{});
}

}  // namespace
}  // namespace rankine
