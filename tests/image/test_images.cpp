#include "test_images.h"

#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include <jpeglib.h>

namespace rankine::testing_images {

namespace {

void append_bytes(png_structp png, png_bytep data, png_size_t count) {
  auto* out = static_cast<Bytes*>(png_get_io_ptr(png));
  const auto* begin = reinterpret_cast<const std::byte*>(data);
  out->insert(out->end(), begin, begin + count);
}

void flush_nothing(png_structp) {}

// Packs samples of `depth` bits, the first in the highest bits.
std::vector<std::uint8_t> packed_row(const PngSpec& spec, int y, int channels) {
  const std::size_t bits = static_cast<std::size_t>(spec.width) * channels * spec.depth;
  std::vector<std::uint8_t> row((bits + 7) / 8);
  std::size_t at = 0;
  for (int x = 0; x < spec.width; ++x) {
    for (int c = 0; c < channels; ++c) {
      const unsigned value = spec.sample(x, y, c);
      for (int b = spec.depth - 1; b >= 0; --b, ++at) row[at / 8] |= ((value >> b) & 1U) << (7 - at % 8);
    }
  }
  return row;
}

int channels_of(int color_type) {
  if (color_type == PNG_COLOR_TYPE_RGB) return 3;
  if (color_type == PNG_COLOR_TYPE_RGB_ALPHA) return 4;
  return color_type == PNG_COLOR_TYPE_GRAY_ALPHA ? 2 : 1;
}

Bytes exif_payload(int orientation, bool big_endian) {
  const auto u16 = [&](Bytes& out, unsigned v) {
    const unsigned high = v >> 8, low = v & 255U;
    out.push_back(static_cast<std::byte>(big_endian ? high : low));
    out.push_back(static_cast<std::byte>(big_endian ? low : high));
  };
  Bytes out;
  for (const char c : {'E', 'x', 'i', 'f', '\0', '\0'}) out.push_back(static_cast<std::byte>(c));
  for (int i = 0; i < 2; ++i) out.push_back(static_cast<std::byte>(big_endian ? 'M' : 'I'));
  u16(out, 42);
  for (const unsigned v : big_endian ? std::vector<unsigned>{0, 8} : std::vector<unsigned>{8, 0}) u16(out, v);
  u16(out, 2);  // entries: ImageWidth first, so that the reader must walk
  for (const unsigned tag : {0x0100U, 0x0112U}) {
    u16(out, tag);
    u16(out, 3);
    for (const unsigned v : big_endian ? std::vector<unsigned>{0, 1} : std::vector<unsigned>{1, 0})
      u16(out, v);
    u16(out, tag == 0x0112 ? static_cast<unsigned>(orientation) : 7);
    u16(out, 0);
  }
  u16(out, 0);
  u16(out, 0);
  return out;
}

}  // namespace

Image gradient(int width, int height) {
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::uint8_t* p = image.pixel(x, y);
      p[0] = static_cast<std::uint8_t>(255 * x / std::max(1, width - 1));
      p[1] = static_cast<std::uint8_t>(255 * y / std::max(1, height - 1));
      p[2] = static_cast<std::uint8_t>(40 + 60 * x / width + 100 * y / height);
    }
  }
  return image;
}

Bytes make_png(const PngSpec& spec) {
  Bytes out;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(png, &out, append_bytes, flush_nothing);
  png_set_IHDR(png, info, static_cast<png_uint_32>(spec.width), static_cast<png_uint_32>(spec.height),
               spec.depth, spec.color_type, spec.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  std::vector<png_color> palette;
  for (std::size_t i = 0; i + 2 < spec.palette.size(); i += 3) {
    palette.push_back({spec.palette[i], spec.palette[i + 1], spec.palette[i + 2]});
  }
  if (!palette.empty()) png_set_PLTE(png, info, palette.data(), static_cast<int>(palette.size()));
  if (!spec.palette_alpha.empty()) {
    png_set_tRNS(png, info, spec.palette_alpha.data(), static_cast<int>(spec.palette_alpha.size()), nullptr);
  }
  if (spec.transparent_grey >= 0) {
    png_color_16 grey{};
    grey.gray = static_cast<png_uint_16>(spec.transparent_grey);
    png_set_tRNS(png, info, nullptr, 0, &grey);
  }
  png_write_info(png, info);
  std::vector<std::vector<std::uint8_t>> rows;
  std::vector<png_bytep> pointers;
  for (int y = 0; y < spec.height; ++y) rows.push_back(packed_row(spec, y, channels_of(spec.color_type)));
  for (auto& row : rows) pointers.push_back(row.data());
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return out;
}

Bytes make_png(const Image& image) {
  PngSpec spec;
  spec.width = image.width;
  spec.height = image.height;
  spec.sample = [&image](int x, int y, int c) { return static_cast<unsigned>(image.pixel(x, y)[c]); };
  return make_png(spec);
}

Bytes make_jpeg(int width, int height, const std::vector<std::uint8_t>& samples, const JpegSpec& spec) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* memory = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &memory, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = spec.components;
  info.in_color_space = spec.components == 1 ? JCS_GRAYSCALE : spec.components == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&info);
  if (spec.ycck) jpeg_set_colorspace(&info, JCS_YCCK);
  if (spec.components == 4 && !spec.adobe) info.write_Adobe_marker = FALSE;
  jpeg_set_quality(&info, spec.quality, TRUE);
  for (int c = 0; c < info.num_components; ++c)
    info.comp_info[c].h_samp_factor = info.comp_info[c].v_samp_factor = 1;
  if (spec.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  if (spec.orientation != 0) {
    const Bytes exif = exif_payload(spec.orientation, spec.exif_big_endian);
    jpeg_write_marker(&info, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(exif.data()),
                      static_cast<unsigned>(exif.size()));
  }
  const std::size_t stride = static_cast<std::size_t>(width) * spec.components;
  for (int y = 0; y < height; ++y) {
    auto* row = const_cast<JSAMPROW>(samples.data() + stride * static_cast<std::size_t>(y));
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  const auto* begin = reinterpret_cast<const std::byte*>(memory);
  Bytes out(begin, begin + size);
  std::free(memory);
  jpeg_destroy_compress(&info);
  return out;
}

Bytes make_jpeg(const Image& image, const JpegSpec& spec) {
  return make_jpeg(image.width, image.height, image.rgb, spec);
}

void write_file(const std::filesystem::path& path, const Bytes& bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  ASSERT_TRUE(out.good()) << path;
}

Bytes read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(begin, begin + text.size());
}

std::filesystem::path fresh_folder(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / ("rankine_" + name);
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

std::filesystem::path shared_images() {
  return std::filesystem::path(RANKINE_SOURCE_DIR).parent_path() / "shared" / "data" / "images";
}

int max_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.size(), b.size());
  int worst = 0;
  for (std::size_t i = 0; i < std::min(a.rgb.size(), b.rgb.size()); ++i) {
    worst = std::max(worst, std::abs(static_cast<int>(a.rgb[i]) - static_cast<int>(b.rgb[i])));
  }
  return worst;
}

}  // namespace rankine::testing_images
