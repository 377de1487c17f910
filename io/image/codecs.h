// Between decode.cpp and the files of the three codecs; nobody else includes this.
// All take the whole file, check the limits before they allocate pixels, and throw DataError beginning with
// `name`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/image/image.h"

namespace rankine::codec {

Image decode_png(std::span<const std::byte> bytes, const std::string& name);
Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name);
Image decode_webp(std::span<const std::byte> bytes, const std::string& name);

ImageSize probe_png(std::span<const std::byte> bytes, const std::string& name);
ImageSize probe_jpeg(std::span<const std::byte> bytes, const std::string& name);
ImageSize probe_webp(std::span<const std::byte> bytes, const std::string& name);

// Throws unless 1 <= side <= kMaxImageSide and width * height <= kMaxImagePixels.
void check_size(std::int64_t width, std::int64_t height, const std::string& name);

// out = alpha over white, rounded: rgb[i] = (a * c + (255 - a) * 255) / 255. `rgba` holds 4 bytes per pixel.
void composite_over_white(std::span<const std::uint8_t> rgba, std::span<std::uint8_t> rgb);

}  // namespace rankine::codec
