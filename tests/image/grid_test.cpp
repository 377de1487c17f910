#include <gtest/gtest.h>

#include <set>
#include <stdexcept>

#include "io/image/font.h"
#include "io/image/grid.h"

namespace rankine {
namespace {

std::string drawn(char32_t character) {
  std::string dots;
  for (int y = 0; y < kGlyphHeight; ++y) {
    for (int x = 0; x < kGlyphWidth; ++x) dots += glyph_dot(character, x, y) ? '#' : '.';
  }
  return dots;
}

TEST(Font, EveryCharacterLooksDifferentAndOthersLikeAQuestionMark) {
  std::set<std::string> all;
  for (char32_t c = 32; c <= 126; ++c) all.insert(drawn(c));
  EXPECT_EQ(all.size(), 95U);
  EXPECT_EQ(drawn(U' ').find('#'), std::string::npos);
  EXPECT_EQ(drawn(U'\u732b'), drawn(U'?'));
  EXPECT_EQ(drawn(7), drawn(U'?'));
  EXPECT_EQ(drawn(U'T'), "#####..#....#....#....#....#....#..");
}

TEST(Font, DrawsScaledAndClipped) {
  Image image(24, 20, 255);
  draw_text(image, 2, 3, "T", 2, 10);
  for (int y = 0; y < 20; ++y) {
    for (int x = 0; x < 24; ++x) {
      const bool inside = x >= 2 && x < 12 && y >= 3 && y < 17;
      const bool dot = inside && glyph_dot(U'T', (x - 2) / 2, (y - 3) / 2);
      ASSERT_EQ(image.pixel(x, y)[1], dot ? 10 : 255) << x << ' ' << y;
    }
  }
  EXPECT_NO_THROW(draw_text(image, -5, -5, "clipped at every border", 3, 0));
  EXPECT_EQ(text_width("\xe7\x8c\xab!", 1), 2 * kGlyphAdvance);
  EXPECT_EQ(text_width("\xe7\x8c", 1), 2 * kGlyphAdvance);  // a cut sequence: one sign per byte
}

TEST(Grid, CellsAreWhereTheyShouldBe) {
  const std::vector<Image> images{Image(10, 8, 1), Image(6, 8, 2), Image(10, 4, 3)};
  GridOptions options;
  options.padding = 3;
  options.background = 200;
  const Image sheet = make_grid(images, {}, options);  // 2 columns, 2 rows
  ASSERT_EQ(sheet.size(), (ImageSize{3 + 2 * 13, 3 + 2 * 11}));
  EXPECT_EQ(sheet.pixel(3, 3)[0], 1);
  EXPECT_EQ(sheet.pixel(12, 10)[2], 1);
  EXPECT_EQ(sheet.pixel(16, 3)[0], 200);  // the narrow one is centred: 2 pixels on each side
  EXPECT_EQ(sheet.pixel(18, 3)[0], 2);
  EXPECT_EQ(sheet.pixel(23, 3)[0], 2);
  EXPECT_EQ(sheet.pixel(24, 3)[0], 200);
  EXPECT_EQ(sheet.pixel(3, 14 + 1)[0], 200);
  EXPECT_EQ(sheet.pixel(3, 14 + 2)[0], 3);
  EXPECT_EQ(sheet.pixel(20, 18)[0], 200);  // the empty fourth cell
}

TEST(Grid, LabelsAreCutToTheCell) {
  const std::vector<Image> images{Image(30, 10, 90), Image(30, 10, 90)};
  const std::vector<std::string> labels{"abcdefghijkl", "ok"};
  GridOptions options;
  options.text_scale = 1;
  options.columns = 1;
  options.padding = 2;
  const Image sheet = make_grid(images, labels, options);
  ASSERT_EQ(sheet.size(), (ImageSize{34, 2 + 2 * (10 + kLineAdvance + 2)}));
  Image expected(30, kLineAdvance, 255);
  draw_text(expected, 0, 1, "abc..", 1, 0);
  for (int y = 0; y < kLineAdvance; ++y) {
    for (int x = 0; x < 30; ++x)
      ASSERT_EQ(sheet.pixel(2 + x, 12 + y)[0], expected.pixel(x, y)[0]) << x << ' ' << y;
  }
}

TEST(Grid, BadInputIsRefused) {
  const std::vector<Image> images{Image(3, 3)};
  const std::vector<std::string> labels{"a", "b"};
  EXPECT_THROW(make_grid({}), std::invalid_argument);
  EXPECT_THROW(make_grid(images, labels), std::invalid_argument);
  EXPECT_THROW(make_grid(std::vector<Image>(1)), std::invalid_argument);
}

}  // namespace
}  // namespace rankine
