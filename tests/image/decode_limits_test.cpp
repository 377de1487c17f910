// What is refused before a codec runs, and that damaged files never do more than throw DataError.
#include <gtest/gtest.h>

#include <random>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "test_images.h"

#ifdef RANKINE_TEST_WEBP
#include <webp/encode.h>
#endif

namespace rankine {
namespace {

using namespace testing_images;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "(no DataError)";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << text << "' lacks '" << part << "'";
}

Bytes bytes_of(std::string_view text) {
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return Bytes(begin, begin + text.size());
}

TEST(DecodeImage, KindComesFromTheBytesAndMustAgreeWithTheName) {
  const Bytes png = make_png(gradient(4, 4)), jpeg = make_jpeg(gradient(4, 4));
  EXPECT_NO_THROW(decode_image(png, "from memory"));
  EXPECT_NO_THROW(decode_image(png, "A.PNG"));
  expect_contains(message_of([&] { decode_image(jpeg, "a/b.png"); }),
                  "a/b.png: the extension says PNG but the bytes are JPEG");
  expect_contains(message_of([&] { decode_image(png, "b.jpeg"); }),
                  "extension says JPEG but the bytes are PNG");
  expect_contains(message_of([&] { probe_image(png, "b.webp"); }),
                  "extension says WebP but the bytes are PNG");
}

TEST(DecodeImage, OtherKindsAreNamed) {
  expect_contains(message_of([] { decode_image(bytes_of("GIF89a......"), "a.png"); }), "is a GIF file");
  expect_contains(message_of([] { decode_image(bytes_of("BM.........."), "a.png"); }), "is a BMP file");
  expect_contains(message_of([] { decode_image(bytes_of(std::string("II*\0....", 8)), "a"); }),
                  "is a TIFF file");
  expect_contains(message_of([] { decode_image(bytes_of("....ftypavif"), "a"); }), "is an AVIF file");
  expect_contains(message_of([] { decode_image(bytes_of("hello"), "a.png"); }), "not a picture");
  expect_contains(message_of([] { decode_image(Bytes{}, "a.png"); }), "the file is empty");
}

// A JPEG frame header of any size followed by nothing: limits must act before the pixels are allocated.
Bytes jpeg_header(int width, int height) {
  std::string text("\xff\xd8\xff\xc0\x00\x0b\x08....\x01\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00",
                   25);
  text[7] = static_cast<char>(height >> 8);
  text[8] = static_cast<char>(height & 255);
  text[9] = static_cast<char>(width >> 8);
  text[10] = static_cast<char>(width & 255);
  return bytes_of(text);
}

// The size stands at bytes 16..23 of a PNG, guarded by a CRC that libpng checks.
Bytes png_of_size(std::uint32_t width, std::uint32_t height) {
  Bytes png = make_png(gradient(1, 1));
  for (std::size_t i = 0; i < 4; ++i) {
    png[16 + i] = static_cast<std::byte>(width >> (24 - 8 * i));
    png[20 + i] = static_cast<std::byte>(height >> (24 - 8 * i));
  }
  std::uint32_t crc = 0xFFFFFFFFU;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= std::to_integer<std::uint32_t>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1U) != 0 ? 0xEDB88320U : 0U);
  }
  for (std::size_t i = 0; i < 4; ++i) png[29 + i] = static_cast<std::byte>(~crc >> (24 - 8 * i));
  return png;
}

TEST(DecodeImage, SizeLimits) {
  EXPECT_EQ(probe_image(png_of_size(8192, 8192), "a.png"), (ImageSize{8192, 8192}));
  expect_contains(message_of([] { decode_image(png_of_size(8192, 8193), "a.png"); }), "64 Mpixel");
  expect_contains(message_of([] { decode_image(png_of_size(65536, 1), "a.png"); }), "at most 65535");
  expect_contains(message_of([] { decode_image(png_of_size(0x7FFFFFFF, 0x7FFFFFFF), "a.png"); }),
                  "at most 65535");
  expect_contains(message_of([] { decode_image(jpeg_header(65000, 65000), "a.jpg"); }), "64 Mpixel");
}

TEST(DecodeImage, FilesThatCannotBeRead) {
  const std::filesystem::path folder = fresh_folder("decode_files");
  EXPECT_THROW(decode_image(folder / "none.png"), IoError);
  EXPECT_THROW(decode_image(folder), IoError);
  write_file(folder / "empty.png", {});
  expect_contains(message_of([&] { decode_image(folder / "empty.png"); }), "empty.png: the file is empty");
  write_file(folder / "big.png", {});
  std::filesystem::resize_file(folder / "big.png", static_cast<std::uintmax_t>(kMaxImageFileBytes) + 1);
  expect_contains(message_of([&] { decode_image(folder / "big.png"); }), "at most 100000000");
}

TEST(ProbeImage, HeaderBehindTheReadPrefixIsFound) {
  Bytes jpeg = make_jpeg(gradient(31, 17));
  Bytes segment(65533 + 2 + 2, std::byte{0});
  const unsigned char head[] = {0xff, 0xe2, 0xff, 0xfd};
  for (std::size_t i = 0; i < 4; ++i) segment[i] = static_cast<std::byte>(head[i]);
  segment.resize(2 + 0xfffd);
  for (int i = 0; i < 3; ++i) jpeg.insert(jpeg.begin() + 2, segment.begin(), segment.end());
  const std::filesystem::path path = fresh_folder("probe") / "a.jpg";
  write_file(path, jpeg);
  EXPECT_EQ(probe_image(path), (ImageSize{31, 17}));
}

// Deterministic mutations: flipped bits, random bytes, cuts, copies of one part over another.
Bytes mutated(const Bytes& seed, std::mt19937& random) {
  Bytes out = seed;
  const auto below = [&random](std::size_t n) {
    return static_cast<std::size_t>(random()) % std::max<std::size_t>(n, 1);
  };
  for (std::size_t edits = 1 + below(4); edits > 0 && !out.empty(); --edits) {
    const std::size_t at = below(out.size());
    switch (below(4)) {
      case 0:
        out[at] ^= static_cast<std::byte>(1U << below(8));
        break;
      case 1:
        out[at] = static_cast<std::byte>(below(256));
        break;
      case 2:
        if (below(4) == 0) out.resize(at);
        break;
      default: {
        const std::size_t from = below(out.size()),
                          count = below(std::min(out.size() - at, out.size() - from));
        std::copy_n(Bytes(out).begin() + static_cast<std::ptrdiff_t>(from), count,
                    out.begin() + static_cast<std::ptrdiff_t>(at));
      }
    }
  }
  return out;
}

std::vector<Bytes> fuzz_seeds() {
  PngSpec palette;
  palette.width = palette.height = 9;
  palette.color_type = 3;
  palette.depth = 4;
  palette.interlaced = true;
  palette.sample = [](int x, int y, int) { return static_cast<unsigned>(x + y) % 4; };
  palette.palette = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  palette.palette_alpha = {7};
  JpegSpec progressive;
  progressive.progressive = true;
  progressive.orientation = 6;
  std::vector<Bytes> seeds{make_png(gradient(12, 9)), make_png(palette), make_jpeg(gradient(16, 12)),
                           make_jpeg(gradient(16, 12), progressive)};
  JpegSpec cmyk;
  cmyk.components = 4;
  seeds.push_back(make_jpeg(8, 8, std::vector<std::uint8_t>(256, 90), cmyk));
#ifdef RANKINE_TEST_WEBP
  const Image image = gradient(16, 12);
  for (const bool lossless : {false, true}) {
    std::uint8_t* memory = nullptr;
    const std::size_t size = lossless ? WebPEncodeLosslessRGB(image.rgb.data(), 16, 12, 48, &memory)
                                      : WebPEncodeRGB(image.rgb.data(), 16, 12, 48, 80, &memory);
    const auto* begin = reinterpret_cast<const std::byte*>(memory);
    seeds.emplace_back(begin, begin + size);
    WebPFree(memory);
  }
#endif
  return seeds;
}

TEST(DecodeImage, MutatedFilesThrowOnlyDataError) {
  std::mt19937 random(20240501);
  int decoded = 0, refused = 0;
  for (const Bytes& seed : fuzz_seeds()) {
    for (int round = 0; round < 800; ++round) {
      const Bytes bytes = mutated(seed, random);
      try {
        const Image image = decode_image(bytes, "fuzz");
        ASSERT_EQ(image.rgb.size(),
                  3 * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height));
        ++decoded;
      } catch (const DataError& error) {
        ASSERT_EQ(std::string(error.what()).find("fuzz: "), 0U) << error.what();
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 1000);
  EXPECT_GT(decoded, 100);
}

}  // namespace
}  // namespace rankine
