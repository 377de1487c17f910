// Writing pictures: 8-bit RGB PNG with text, as previews carry their prompt.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "io/image/image.h"

namespace rankine {

// keyword, text. The keyword is 1..79 printable ASCII characters without leading, trailing or double spaces;
// the text is UTF-8 without NUL. ASCII text becomes a tEXt chunk, any other an uncompressed iTXt chunk
// (PNG 1.2, 11.3.4).
using PngText = std::pair<std::string, std::string>;

// The file as bytes; the same input gives the same bytes. Throws DataError on a text that PNG cannot hold and
// std::invalid_argument on an image whose buffer does not match its size.
std::vector<std::byte> encode_png(const Image& image, std::span<const PngText> texts = {});

// Writes encode_png(image, texts) to `path` atomically. Throws IoError when the disk refuses.
void write_png(const std::filesystem::path& path, const Image& image, std::span<const PngText> texts = {});

}  // namespace rankine
