#include <gtest/gtest.h>
#include <webp/encode.h>

#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "test_images.h"

namespace rankine {
namespace {

using namespace testing_images;

Bytes taken(std::uint8_t* memory, std::size_t size) {
  const auto* begin = reinterpret_cast<const std::byte*>(memory);
  Bytes out(begin, begin + size);
  WebPFree(memory);
  return out;
}

Bytes lossless(const Image& image) {
  std::uint8_t* memory = nullptr;
  const std::size_t size =
      WebPEncodeLosslessRGB(image.rgb.data(), image.width, image.height, 3 * image.width, &memory);
  return taken(memory, size);
}

Bytes lossy(const Image& image) {
  std::uint8_t* memory = nullptr;
  const std::size_t size =
      WebPEncodeRGB(image.rgb.data(), image.width, image.height, 3 * image.width, 90, &memory);
  return taken(memory, size);
}

std::vector<std::uint8_t> with_alpha(const Image& image) {
  std::vector<std::uint8_t> rgba;
  for (std::size_t i = 0; i < image.rgb.size() / 3; ++i) {
    rgba.insert(rgba.end(), image.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i),
                image.rgb.begin() + static_cast<std::ptrdiff_t>(3 * i + 3));
    rgba.push_back(static_cast<std::uint8_t>(i % 256));
  }
  return rgba;
}

TEST(DecodeWebp, LosslessIsExact) {
  const Image image = gradient(33, 21);
  EXPECT_EQ(max_difference(decode_image(lossless(image), "x.webp"), image), 0);
  EXPECT_EQ(probe_image(lossless(image), "x.webp"), image.size());
}

TEST(DecodeWebp, LossyIsClose) {
  const Image image = gradient(64, 48);
  const Image back = decode_image(lossy(image), "x.webp");
  double sum = 0;
  ASSERT_EQ(back.size(), image.size());
  for (std::size_t i = 0; i < image.rgb.size(); ++i) sum += std::abs(image.rgb[i] - back.rgb[i]);
  EXPECT_LT(sum / static_cast<double>(image.rgb.size()), 6.0);
}

TEST(DecodeWebp, AlphaLiesOverWhite) {
  const Image image = gradient(20, 20);
  const std::vector<std::uint8_t> rgba = with_alpha(image);
  std::uint8_t* memory = nullptr;
  const std::size_t size = WebPEncodeLosslessRGBA(rgba.data(), 20, 20, 80, &memory);
  const Image back = decode_image(taken(memory, size), "x.webp");
  for (std::size_t i = 0; i < 400; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      const double a = rgba[4 * i + 3] / 255.0;
      ASSERT_EQ(back.rgb[3 * i + c], std::lround(a * image.rgb[3 * i + c] + (1 - a) * 255)) << i;
    }
  }
}

TEST(DecodeWebp, EveryTruncationIsAnError) {
  for (const Bytes& webp : {lossless(gradient(17, 13)), lossy(gradient(17, 13))}) {
    ASSERT_NO_THROW(decode_image(webp, "x.webp"));
    for (std::size_t n = 0; n < webp.size(); ++n) {
      EXPECT_THROW(decode_image(std::span(webp).first(n), "x.webp"), DataError) << n << " of " << webp.size();
    }
  }
}

// An extended header (VP8X) with the animation bit, as the container format lays it out.
TEST(DecodeWebp, AnimationIsRefused) {
  const char header[] =
      "RIFF\x2a\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x0f\0\0\x0f\0\0ANIM\x06\0\0\0\0\0\0\0\0\0";
  Bytes bytes(sizeof header - 1);
  std::memcpy(bytes.data(), header, bytes.size());
  bytes.resize(0x2a + 8);
  try {
    decode_image(bytes, "x.webp");
    FAIL();
  } catch (const DataError& error) {
    EXPECT_NE(std::string(error.what()).find("animated"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace rankine
