// PNG, JPEG and WebP, told by their first bytes.
#include "io/image/decode.h"

#include <zlib.h>

#include "fuzz/fuzz.h"
#include "tests/image/test_images.h"
#ifdef RANKINE_FUZZ_WEBP
#include <webp/encode.h>
#endif

namespace {

constexpr std::int64_t kMaxPixels = 1 << 20;  // a few bytes may stand for 64 million pixels: right, but slow

std::string text(const rankine::testing_images::Bytes& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint32_t big_endian(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 | at[3];
}

// PNG: length, type, data, checksum of type and data; and again.
void mend_png_checksums(std::uint8_t* file, std::size_t size) {
  for (std::size_t at = 8; size - at >= 12;) {
    const std::size_t length = big_endian(file + at);
    if (length > size - at - 12) return;
    const auto crc = crc32_z(0, file + at + 4, length + 4);
    for (std::size_t i = 0; i < 4; ++i)
      file[at + 8 + length + i] = static_cast<std::uint8_t>(crc >> (24 - 8 * i));
    at += 12 + length;
  }
}

}  // namespace

// Without right checksums libpng would refuse nearly every change.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned int) {
  size = LLVMFuzzerMutate(data, size, max_size);
  if (size >= 8 && data[0] == 0x89 && data[1] == 'P') mend_png_checksums(data, size);
  return size;
}

void rankine::fuzz::read(Bytes input) {
  const ImageSize size = probe_image(input, "f");
  expect(size.width > 0 && size.height > 0 && size.width <= kMaxImageSide && size.height <= kMaxImageSide,
         "size ", size.width, " x ", size.height);
  if (static_cast<std::int64_t>(size.width) * size.height > kMaxPixels) return;
  const Image image = decode_image(input, "f");
  expect(image.size() == size, "decoded to another size than probed");
  expect(image.rgb.size() == static_cast<std::size_t>(size.width) * size.height * 3, "a short buffer");
}

std::vector<std::string> rankine::fuzz::seeds() {
  using namespace testing_images;
  const Image picture = gradient(5, 4);
  std::vector<std::string> out{text(make_png(picture)), text(make_jpeg(picture)),
                               text(make_jpeg(picture, {.progressive = true, .orientation = 6})),
                               text(make_jpeg(picture, {.orientation = 3, .exif_big_endian = true}))};
  const auto sample = [](int x, int y, int c) { return static_cast<unsigned>(x + y + c) & 1U; };
  for (const int type : {0, 2, 4, 6})
    out.push_back(text(make_png(
        {.width = 3, .height = 2, .depth = 16, .color_type = type, .interlaced = true, .sample = sample})));
  out.push_back(text(make_png({.width = 9,
                               .height = 2,
                               .depth = 1,
                               .color_type = 3,
                               .palette = {0, 0, 0, 9, 9, 9},
                               .palette_alpha = {7},
                               .sample = sample})));
  out.push_back(text(make_png(
      {.width = 3, .height = 2, .depth = 2, .color_type = 0, .transparent_grey = 1, .sample = sample})));
  out.push_back(text(make_jpeg(3, 2, std::vector<std::uint8_t>(24, 90), {.components = 4, .ycck = true})));
  out.push_back(text(make_jpeg(3, 2, std::vector<std::uint8_t>(6, 90), {.components = 1})));
#ifdef RANKINE_FUZZ_WEBP
  const std::vector<std::uint8_t> rgba(16 * 12 * 4, 100);
  std::uint8_t* data = nullptr;
  for (const bool lossless : {false, true}) {
    const std::size_t size = lossless ? WebPEncodeLosslessRGBA(rgba.data(), 16, 12, 64, &data)
                                      : WebPEncodeRGBA(rgba.data(), 16, 12, 64, 80, &data);
    out.emplace_back(reinterpret_cast<const char*>(data), size);
    WebPFree(data);
  }
#endif
  return out;
}
