#include <gtest/gtest.h>

#include <cmath>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "test_images.h"

namespace rankine {
namespace {

using namespace testing_images;

unsigned noise(int x, int y, int c) {
  return (static_cast<unsigned>(x) * 2654435761U + static_cast<unsigned>(y) * 40503U +
          static_cast<unsigned>(c) * 977U) >>
         3;
}

PngSpec spec_of(int color_type, int depth, bool interlaced) {
  PngSpec spec;
  spec.width = 13;
  spec.height = 11;
  spec.color_type = color_type;
  spec.depth = depth;
  spec.interlaced = interlaced;
  const unsigned mask = (1U << depth) - 1;
  spec.sample = [mask](int x, int y, int c) { return noise(x, y, c) & mask; };
  return spec;
}

std::uint8_t expected_8bit(unsigned value, int depth) {
  return static_cast<std::uint8_t>(std::lround(value * 255.0 / ((1U << depth) - 1)));
}

std::uint8_t over_white(std::uint8_t colour, std::uint8_t alpha) {
  return static_cast<std::uint8_t>(std::lround(alpha / 255.0 * colour + (1 - alpha / 255.0) * 255));
}

class PngTypes : public testing::TestWithParam<std::tuple<int, int, bool>> {};

TEST_P(PngTypes, GreyRgbAndAlphaDecodeToTheWrittenSamples) {
  const auto [color_type, depth, interlaced] = GetParam();
  const PngSpec spec = spec_of(color_type, depth, interlaced);
  const Image image = decode_image(make_png(spec), "x.png");
  ASSERT_EQ(image.size(), (ImageSize{13, 11}));
  const bool grey = color_type == 0 || color_type == 4, alpha = color_type >= 4;
  for (int y = 0; y < spec.height; ++y) {
    for (int x = 0; x < spec.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        std::uint8_t want = expected_8bit(spec.sample(x, y, grey ? 0 : c), depth);
        if (alpha) want = over_white(want, expected_8bit(spec.sample(x, y, grey ? 1 : 3), depth));
        ASSERT_EQ(image.pixel(x, y)[c], want) << x << ' ' << y << ' ' << c;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PngTypes,
                         testing::Values(std::tuple(0, 1, false), std::tuple(0, 2, false),
                                         std::tuple(0, 4, true), std::tuple(0, 8, false),
                                         std::tuple(0, 16, true), std::tuple(2, 8, false),
                                         std::tuple(2, 8, true), std::tuple(2, 16, false),
                                         std::tuple(4, 8, true), std::tuple(4, 16, false),
                                         std::tuple(6, 8, false), std::tuple(6, 8, true),
                                         std::tuple(6, 16, true)));

TEST(DecodePng, PaletteOfEveryDepthWithTransparency) {
  for (const int depth : {1, 2, 4, 8}) {
    PngSpec spec = spec_of(3, depth, depth == 4);
    const int entries = 1 << depth;
    for (int i = 0; i < 3 * entries; ++i) spec.palette.push_back(static_cast<std::uint8_t>(i * 37 + 11));
    spec.palette_alpha = {0, 100};
    const Image image = decode_image(make_png(spec), "x.png");
    for (int y = 0; y < spec.height; ++y) {
      for (int x = 0; x < spec.width; ++x) {
        const unsigned index = spec.sample(x, y, 0);
        const std::uint8_t alpha = index < 2 ? spec.palette_alpha[index] : 255;
        for (unsigned c = 0; c < 3; ++c) {
          ASSERT_EQ(image.pixel(x, y)[c], over_white(spec.palette[3 * index + c], alpha)) << depth;
        }
      }
    }
  }
}

TEST(DecodePng, TransparentGreyBecomesWhite) {
  PngSpec spec = spec_of(0, 8, false);
  spec.sample = [](int x, int, int) { return x == 5 ? 17U : 80U; };
  spec.transparent_grey = 17;
  const Image image = decode_image(make_png(spec), "x.png");
  EXPECT_EQ(image.pixel(5, 3)[0], 255);
  EXPECT_EQ(image.pixel(4, 3)[0], 80);
}

TEST(DecodePng, EveryTruncationIsAnError) {
  const Bytes png = make_png(gradient(9, 7));
  ASSERT_NO_THROW(decode_image(png, "x.png"));
  for (std::size_t n = 0; n < png.size(); ++n) {
    EXPECT_THROW(decode_image(std::span(png).first(n), "x.png"), DataError) << n;
  }
}

TEST(DecodePng, DamagedDataNamesFileAndPlace) {
  Bytes png = make_png(gradient(64, 64));
  png[png.size() / 2] ^= std::byte{0x55};
  try {
    decode_image(png, "dir/x.png");
    FAIL() << "the checksum is wrong";
  } catch (const DataError& error) {
    EXPECT_EQ(std::string(error.what()).find("dir/x.png: damaged PNG at byte "), 0U) << error.what();
  }
}

TEST(PngSuite, AllDecodeAndInterlacedTwinsAgree) {
  const std::filesystem::path folder = shared_images() / "pngsuite";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "NOT RUN: no " << folder;
  int decoded = 0, twins = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path path = entry.path();
    if (path.extension() != ".png") continue;
    if (path.filename().string().front() == 'x') {
      EXPECT_THROW(decode_image(path), DataError) << path;
      continue;
    }
    const Image image = decode_image(path);
    EXPECT_EQ(image.size(), probe_image(path)) << path;
    ++decoded;
    std::string twin = path.filename().string();
    if (twin[3] != 'i') continue;
    twin[3] = 'n';
    if (!std::filesystem::exists(folder / twin)) continue;
    EXPECT_EQ(max_difference(image, decode_image(folder / twin)), 0) << path;
    ++twins;
  }
  EXPECT_GT(decoded, 50);
  EXPECT_GT(twins, 20);
}

}  // namespace
}  // namespace rankine
