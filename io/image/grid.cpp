#include "io/image/grid.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "io/image/font.h"

namespace rankine {

namespace {

void paste(const Image& source, Image& sheet, int x, int y) {
  for (int row = 0; row < source.height; ++row) {
    std::copy_n(source.pixel(0, row), 3 * static_cast<std::size_t>(source.width), sheet.pixel(x, y + row));
  }
}

// Drops whole characters from the end until the text and ".." fit.
std::string fit_text(const std::string& text, int width, int scale) {
  if (text_width(text, scale) <= width) return text;
  std::string cut = text;
  while (!cut.empty() && text_width(cut + "..", scale) > width) {
    while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xC0U) == 0x80) cut.pop_back();
    if (!cut.empty()) cut.pop_back();
  }
  return cut + "..";
}

}  // namespace

Image make_grid(std::span<const Image> images, std::span<const std::string> labels,
                const GridOptions& options) {
  const auto count = static_cast<int>(images.size());
  require<std::invalid_argument>(count > 0, "make_grid: no pictures");
  require<std::invalid_argument>(labels.empty() || labels.size() == images.size(),
                                 "make_grid: ", labels.size(), " labels for ", count, " pictures");
  require<std::invalid_argument>(options.columns >= 0 && options.padding >= 0 && options.text_scale >= 1,
                                 "make_grid: columns ", options.columns, ", padding ", options.padding,
                                 ", text scale ", options.text_scale);
  std::int64_t cell_width = 0, cell_height = 0;
  for (const Image& image : images) {
    require<std::invalid_argument>(image.width > 0 && image.height > 0, "make_grid: an empty picture");
    cell_width = std::max<std::int64_t>(cell_width, image.width);
    cell_height = std::max<std::int64_t>(cell_height, image.height);
  }
  const int square = static_cast<int>(std::ceil(std::sqrt(static_cast<double>(count))));
  const int columns = std::min(count, options.columns > 0 ? options.columns : square);
  const int rows = (count + columns - 1) / columns;
  const std::int64_t label_height = labels.empty() ? 0 : kLineAdvance * options.text_scale;
  const std::int64_t pad = options.padding;
  const std::int64_t width = pad + columns * (cell_width + pad);
  const std::int64_t height = pad + rows * (cell_height + label_height + pad);
  require<std::invalid_argument>(width * height <= kMaxImagePixels, "make_grid: a sheet of ", width, " x ",
                                 height, " pixels; at most 64 Mpixel");

  Image sheet(static_cast<int>(width), static_cast<int>(height), options.background);
  for (int i = 0; i < count; ++i) {
    const Image& image = images[static_cast<std::size_t>(i)];
    const auto x = static_cast<int>(pad + (i % columns) * (cell_width + pad));
    const auto y = static_cast<int>(pad + (i / columns) * (cell_height + label_height + pad));
    paste(image, sheet, x + (static_cast<int>(cell_width) - image.width) / 2,
          y + (static_cast<int>(cell_height) - image.height) / 2);
    if (labels.empty()) continue;
    const std::string label =
        fit_text(labels[static_cast<std::size_t>(i)], static_cast<int>(cell_width), options.text_scale);
    draw_text(sheet, x, y + static_cast<int>(cell_height) + options.text_scale, label, options.text_scale,
              options.text_colour);
  }
  return sheet;
}

}  // namespace rankine
