// Several pictures on one sheet: the samples of a run side by side.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "io/image/image.h"

namespace rankine {

struct GridOptions {
  int columns = 0;                // 0: as square as it gets, ceil(sqrt(n))
  int padding = 8;                // pixels between cells and around the sheet
  std::uint8_t background = 255;  // grey value
  std::uint8_t text_colour = 0;
  int text_scale = 2;  // pixels per dot of the 5 x 7 font
};

// Cells are as large as the largest picture, filled row by row; smaller pictures stand centred. `labels` is
// empty or has one UTF-8 line per picture, shown under it and cut with ".." at the cell's width (not ASCII:
// '?'). Throws std::invalid_argument on no pictures, an empty one, a wrong number of labels or a sheet past
// 64 Mpixel.
Image make_grid(std::span<const Image> images, std::span<const std::string> labels = {},
                const GridOptions& options = {});

}  // namespace rankine
