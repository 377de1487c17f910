// Reading pictures: PNG, JPEG and WebP to 8-bit sRGB.
//
// The kind is found by the first bytes. A file whose extension says another kind is refused, because the
// tools that people use beside this one trust the extension.
//
//   PNG   every colour type and depth, interlaced or not; 16 bits are rounded to 8; alpha is laid over white.
//   JPEG  grey, YCbCr, RGB, CMYK and YCCK (Adobe files store these inverted); EXIF orientation 1..8 is
//   applied. WebP  lossy and lossless; alpha is laid over white; animations are refused.
//
// Colour profiles and gamma chunks are ignored: pixels are taken as sRGB.
// Every function throws DataError, naming the file, for anything that is damaged, truncated, not supported or
// past the limits, and IoError when the file cannot be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/image/image.h"

namespace rankine {

inline constexpr std::int64_t kMaxImagePixels = 64LL << 20;
inline constexpr std::int64_t kMaxImageFileBytes = 100LL * 1000 * 1000;
inline constexpr int kMaxImageSide = 65'535;

enum class ImageKind : std::uint8_t { png, jpeg, webp };

std::string_view name_of(ImageKind kind);  // "PNG", "JPEG", "WebP"

// True for the extensions that decode_image reads: .png .jpg .jpeg .jpe .jfif .webp, in any case.
bool has_image_extension(const std::filesystem::path& path);
// True for extensions of pictures that it does not read: .gif .bmp .tif .tiff .heic .heif .avif .jxl
bool has_unsupported_image_extension(const std::filesystem::path& path);

Image decode_image(const std::filesystem::path& path);

// `name` stands for the file in messages; its extension, if it has a known one, must agree with the bytes.
Image decode_image(std::span<const std::byte> bytes, std::string_view name);

// Size as decode_image would return it (EXIF orientation applied), from the headers alone.
ImageSize probe_image(const std::filesystem::path& path);
ImageSize probe_image(std::span<const std::byte> bytes, std::string_view name);

// The file as bytes, within kMaxImageFileBytes. Only regular files are read: no devices, pipes or folders.
std::vector<std::byte> read_image_file(const std::filesystem::path& path);

}  // namespace rankine
