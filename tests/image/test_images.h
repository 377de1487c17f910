// Pictures for the tests, written by the codecs themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/image/image.h"

namespace rankine::testing_images {

using Bytes = std::vector<std::byte>;

// Smooth but asymmetric colours: no orientation of it equals another.
Image gradient(int width, int height);

struct PngSpec {
  int width = 0, height = 0;
  int depth = 8;
  int color_type = 2;  // PNG: 0 grey, 2 rgb, 3 palette, 4 grey + alpha, 6 rgb + alpha
  bool interlaced = false;
  std::vector<std::uint8_t> palette;  // rgb triples
  std::vector<std::uint8_t> palette_alpha;
  int transparent_grey = -1;  // tRNS for colour type 0
  // Sample `channel` of pixel (x, y), 0 .. 2^depth - 1.
  std::function<unsigned(int x, int y, int channel)> sample;
};

Bytes make_png(const PngSpec& spec);
Bytes make_png(const Image& image);

struct JpegSpec {
  int quality = 95;
  int components = 3;  // 1 grey, 3 rgb, 4 cmyk (samples as they are stored)
  bool ycck = false;   // components == 4
  bool adobe = true;   // components == 4: write the Adobe marker
  bool progressive = false;
  int orientation = 0;  // 0: no EXIF
  bool exif_big_endian = false;
};

Bytes make_jpeg(int width, int height, const std::vector<std::uint8_t>& samples, const JpegSpec& spec);
Bytes make_jpeg(const Image& image, const JpegSpec& spec = {});

void write_file(const std::filesystem::path& path, const Bytes& bytes);
Bytes read_file(const std::filesystem::path& path);

// A fresh folder below testing::TempDir().
std::filesystem::path fresh_folder(const std::string& name);

// ../shared/data/images beside the source tree; may not exist.
std::filesystem::path shared_images();

// The largest difference of two pictures of the same size.
int max_difference(const Image& a, const Image& b);

}  // namespace rankine::testing_images
