// A picture in memory, as the trainer sees it: 8-bit sRGB, three channels, nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace rankine {

struct ImageSize {
  int width = 0;
  int height = 0;

  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

// Row-major, channels last: pixel (x, y) is rgb[3 * (y * width + x) + {0, 1, 2}].
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;

  Image() = default;
  Image(int w, int h, std::uint8_t value = 0)
      : width(w), height(h), rgb(3 * static_cast<std::size_t>(w) * static_cast<std::size_t>(h), value) {}

  ImageSize size() const { return {width, height}; }
  std::uint8_t* pixel(int x, int y) { return rgb.data() + offset(x, y); }
  const std::uint8_t* pixel(int x, int y) const { return rgb.data() + offset(x, y); }

 private:
  std::size_t offset(int x, int y) const {
    return 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
  }
};

}  // namespace rankine
