#include "io/image/exif.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace rankine {

namespace {

constexpr unsigned kOrientationTag = 0x0112;
constexpr unsigned kTypeShort = 3;

struct TiffView {
  std::span<const std::byte> bytes;
  bool big_endian = false;

  bool has(std::size_t at, std::size_t count) const {
    return at <= bytes.size() && count <= bytes.size() - at;
  }
  unsigned byte(std::size_t at) const { return std::to_integer<unsigned>(bytes[at]); }
  unsigned u16(std::size_t at) const {
    return big_endian ? byte(at) << 8 | byte(at + 1) : byte(at + 1) << 8 | byte(at);
  }
  std::uint32_t u32(std::size_t at) const {
    return big_endian ? u16(at) << 16 | u16(at + 2) : u16(at + 2) << 16 | u16(at);
  }
};

}  // namespace

int exif_orientation(std::span<const std::byte> payload) {
  if (payload.size() < 14 || std::memcmp(payload.data(), "Exif\0\0", 6) != 0) return 1;
  TiffView tiff{payload.subspan(6)};
  if (std::memcmp(tiff.bytes.data(), "MM\0*", 4) == 0) {
    tiff.big_endian = true;
  } else if (std::memcmp(tiff.bytes.data(), "II*\0", 4) != 0) {
    return 1;
  }
  const std::size_t ifd = tiff.u32(4);
  if (!tiff.has(ifd, 2)) return 1;
  const unsigned entries = tiff.u16(ifd);
  for (unsigned i = 0; i < entries; ++i) {
    const std::size_t entry = ifd + 2 + 12 * static_cast<std::size_t>(i);
    if (!tiff.has(entry, 12)) return 1;
    if (tiff.u16(entry) != kOrientationTag) continue;
    const unsigned value = tiff.u16(entry + 8);
    return tiff.u16(entry + 2) == kTypeShort && value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

ImageSize oriented_size(ImageSize stored, int orientation) {
  if (orientation >= 5) std::swap(stored.width, stored.height);
  return stored;
}

Image apply_orientation(Image stored, int orientation) {
  if (orientation <= 1 || orientation > 8) return stored;
  const ImageSize size = oriented_size(stored.size(), orientation);
  const bool transposed = orientation >= 5;
  // After the transposition, if any: is the source read from its right or from its bottom edge?
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright(size.width, size.height);
  for (int y = 0; y < size.height; ++y) {
    for (int x = 0; x < size.width; ++x) {
      const int column = transposed ? y : x, row = transposed ? x : y;
      const std::uint8_t* from = stored.pixel(from_right ? stored.width - 1 - column : column,
                                              from_bottom ? stored.height - 1 - row : row);
      std::copy_n(from, 3, upright.pixel(x, y));
    }
  }
  return upright;
}

}  // namespace rankine
