#include "io/image/pixels.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "engine/core/error.h"

namespace rankine {

namespace {

// byte / 127.5 - 1 with one rounding.
float to_unit(std::uint8_t byte) { return static_cast<float>(2 * byte - 255) / 255.0F; }

void check_count(const char* op, std::size_t got, std::size_t expected) {
  require<std::invalid_argument>(got == expected, op, ": ", got, " floats for ", expected, " samples");
}

}  // namespace

Image crop(const Image& source, int x, int y, int width, int height) {
  require<std::invalid_argument>(
      x >= 0 && y >= 0 && width > 0 && height > 0 && width <= source.width - x && height <= source.height - y,
      "crop: ", width, " x ", height, " at (", x, ", ", y, ") of a picture of ", source.width, " x ",
      source.height);
  Image result(width, height);
  for (int row = 0; row < height; ++row) {
    std::copy_n(source.pixel(x, y + row), 3 * static_cast<std::size_t>(width), result.pixel(0, row));
  }
  return result;
}

Image flip_horizontal(const Image& source) {
  Image result(source.width, source.height);
  for (int y = 0; y < source.height; ++y) {
    for (int x = 0; x < source.width; ++x)
      std::copy_n(source.pixel(source.width - 1 - x, y), 3, result.pixel(x, y));
  }
  return result;
}

void to_float_hwc(const Image& source, std::span<float> out) {
  check_count("to_float_hwc", out.size(), source.rgb.size());
  std::transform(source.rgb.begin(), source.rgb.end(), out.begin(), to_unit);
}

void to_float_chw(const Image& source, std::span<float> out) {
  check_count("to_float_chw", out.size(), source.rgb.size());
  const std::size_t plane = source.rgb.size() / 3;
  for (std::size_t i = 0; i < plane; ++i) {
    for (std::size_t c = 0; c < 3; ++c) out[c * plane + i] = to_unit(source.rgb[3 * i + c]);
  }
}

Image from_float_hwc(std::span<const float> values, int width, int height) {
  require<std::invalid_argument>(width > 0 && height > 0, "from_float_hwc: ", width, " x ", height,
                                 " pixels");
  Image result(width, height);
  check_count("from_float_hwc", values.size(), result.rgb.size());
  std::transform(values.begin(), values.end(), result.rgb.begin(), [](float v) {
    const float byte = (v + 1.0F) * 127.5F;
    return byte > 0 ? static_cast<std::uint8_t>(std::lround(std::min(byte, 255.0F))) : std::uint8_t{0};
  });
  return result;
}

}  // namespace rankine
