#include <gtest/gtest.h>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "io/image/exif.h"
#include "io/image/pixels.h"
#include "test_images.h"

namespace rankine {
namespace {

using namespace testing_images;

// Quality 100 without chroma subsampling: what is left is rounding in two colour and two cosine transforms.
constexpr int kLossless = 3;

JpegSpec best() {
  JpegSpec spec;
  spec.quality = 100;
  return spec;
}

TEST(DecodeJpeg, RgbBaselineAndProgressive) {
  const Image image = gradient(37, 29);
  JpegSpec spec = best();
  EXPECT_LE(max_difference(decode_image(make_jpeg(image, spec), "x.jpg"), image), kLossless);
  spec.progressive = true;
  EXPECT_LE(max_difference(decode_image(make_jpeg(image, spec), "x.JPEG"), image), kLossless);
}

TEST(DecodeJpeg, GreyBecomesThreeEqualChannels) {
  std::vector<std::uint8_t> samples;
  for (int i = 0; i < 16 * 8; ++i) samples.push_back(static_cast<std::uint8_t>(2 * i));
  JpegSpec spec = best();
  spec.components = 1;
  const Image image = decode_image(make_jpeg(16, 8, samples, spec), "x.jpg");
  for (std::size_t i = 0; i < samples.size(); ++i) {
    EXPECT_NEAR(image.rgb[3 * i], samples[i], kLossless);
    EXPECT_EQ(image.rgb[3 * i], image.rgb[3 * i + 1]);
    EXPECT_EQ(image.rgb[3 * i], image.rgb[3 * i + 2]);
  }
}

// Inks for a colour: c = 1 - r with black k held at 25 %, so r = (1 - c)(1 - k).
TEST(DecodeJpeg, CmykAndYcckPlainAndAdobeInverted) {
  for (const bool adobe : {false, true}) {
    for (const bool ycck : {false, true}) {
      if (ycck && !adobe) continue;  // only the Adobe marker can say YCCK
      std::vector<std::uint8_t> samples;
      for (int i = 0; i < 16 * 16; ++i) {
        for (const int ink : {i % 16 * 15, i / 16 * 15, 100, 64}) {
          samples.push_back(static_cast<std::uint8_t>(adobe ? 255 - ink : ink));
        }
      }
      JpegSpec spec = best();
      spec.components = 4;
      spec.adobe = adobe;
      spec.ycck = ycck;
      const Image image = decode_image(make_jpeg(16, 16, samples, spec), "x.jpg");
      for (int i = 0; i < 16 * 16; ++i) {
        const std::uint8_t* p = image.pixel(i % 16, i / 16);
        EXPECT_NEAR(p[0], (255 - i % 16 * 15) * 191 / 255.0, kLossless + 1) << adobe << ycck << ' ' << i;
        EXPECT_NEAR(p[1], (255 - i / 16 * 15) * 191 / 255.0, kLossless + 1) << adobe << ycck << ' ' << i;
        EXPECT_NEAR(p[2], 155 * 191 / 255.0, kLossless + 1) << adobe << ycck << ' ' << i;
      }
    }
  }
}

Image rotated_clockwise(const Image& image) {
  Image out(image.height, image.width);
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x) std::copy_n(image.pixel(y, image.height - 1 - x), 3, out.pixel(x, y));
  }
  return out;
}

// What a camera stores for each orientation, built from quarter turns and mirrors only.
Image stored_for(const Image& upright, int orientation) {
  const Image cw = rotated_clockwise(upright), half = rotated_clockwise(cw), ccw = rotated_clockwise(half);
  switch (orientation) {
    case 2:
      return flip_horizontal(upright);
    case 3:
      return half;
    case 4:
      return flip_horizontal(half);
    case 5:
      return flip_horizontal(cw);
    case 6:
      return ccw;
    case 7:
      return flip_horizontal(ccw);
    case 8:
      return cw;
    default:
      return upright;
  }
}

TEST(DecodeJpeg, EveryExifOrientationComesOutUpright) {
  const Image upright = gradient(24, 16);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    EXPECT_EQ(max_difference(apply_orientation(stored_for(upright, orientation), orientation), upright), 0)
        << orientation;
    for (const bool big_endian : {false, true}) {
      JpegSpec spec = best();
      spec.orientation = orientation;
      spec.exif_big_endian = big_endian;
      const Bytes jpeg = make_jpeg(stored_for(upright, orientation), spec);
      EXPECT_LE(max_difference(decode_image(jpeg, "x.jpg"), upright), kLossless) << orientation;
      EXPECT_EQ(probe_image(jpeg, "x.jpg"), upright.size()) << orientation;
    }
  }
}

TEST(DecodeJpeg, SenselessOrientationIsIgnored) {
  const Image upright = gradient(24, 16);
  JpegSpec spec = best();
  spec.orientation = 9;
  EXPECT_LE(max_difference(decode_image(make_jpeg(upright, spec), "x.jpg"), upright), kLossless);
  EXPECT_EQ(exif_orientation({}), 1);
}

TEST(DecodeJpeg, EveryTruncationIsAnError) {
  for (const bool progressive : {false, true}) {
    JpegSpec spec;
    spec.progressive = progressive;
    const Bytes jpeg = make_jpeg(gradient(19, 17), spec);
    ASSERT_NO_THROW(decode_image(jpeg, "x.jpg"));
    for (std::size_t n = 0; n < jpeg.size(); ++n) {
      EXPECT_THROW(decode_image(std::span(jpeg).first(n), "x.jpg"), DataError) << progressive << ' ' << n;
    }
  }
}

TEST(DecodeJpeg, BytesAfterTheEndAreHarmless) {
  Bytes jpeg = make_jpeg(gradient(19, 17));
  const Image image = decode_image(jpeg, "x.jpg");
  jpeg.resize(jpeg.size() + 100, std::byte{0x41});
  EXPECT_EQ(max_difference(decode_image(jpeg, "x.jpg"), image), 0);
}

TEST(Photographs, AllDecode) {
  const std::filesystem::path folder = shared_images() / "dreambooth" / "backpack_dog";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "NOT RUN: no " << folder;
  int decoded = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const Image image = decode_image(entry.path());
    EXPECT_EQ(image.size(), probe_image(entry.path()));
    ++decoded;
  }
  EXPECT_GT(decoded, 0);
}

}  // namespace
}  // namespace rankine
