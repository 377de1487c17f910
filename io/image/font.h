// A small built-in bitmap font for labels on sample grids: ASCII 32..126, 5 x 7 dots in a 6 x 9 cell.
#pragma once

#include <cstdint>
#include <string_view>

#include "io/image/image.h"

namespace rankine {

inline constexpr int kGlyphWidth = 5, kGlyphHeight = 7;
inline constexpr int kGlyphAdvance = 6, kLineAdvance = 9;

// Is the dot (x, y), 0 <= x < 5, 0 <= y < 7, of a character set? Others than ASCII 32..126 look like '?'.
bool glyph_dot(char32_t character, int x, int y);

// Width in pixels of one line of UTF-8 text at `scale` pixels per dot.
int text_width(std::string_view text, int scale);

// Draws one line of UTF-8 text with its top left dot at (x, y); what falls outside the picture is cut off.
// Only the set dots are overwritten, with (colour, colour, colour).
void draw_text(Image& image, int x, int y, std::string_view text, int scale, std::uint8_t colour);

}  // namespace rankine
