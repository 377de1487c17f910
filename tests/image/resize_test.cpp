#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include "io/image/pixels.h"
#include "io/image/resize.h"
#include "test_images.h"

namespace rankine {
namespace {

using namespace testing_images;

// The mean of the source over a real rectangle, by its definition: sum of value times overlapping area.
double area_mean(const Image& image, double x0, double x1, double y0, double y1, int c) {
  double sum = 0;
  for (int y = 0; y < image.height; ++y) {
    const double h = std::max(0.0, std::min(y1, y + 1.0) - std::max(y0, static_cast<double>(y)));
    for (int x = 0; x < image.width; ++x) {
      const double w = std::max(0.0, std::min(x1, x + 1.0) - std::max(x0, static_cast<double>(x)));
      sum += w * h * image.pixel(x, y)[c];
    }
  }
  return sum / ((x1 - x0) * (y1 - y0));
}

Image noisy(int width, int height) {
  Image image(width, height);
  for (std::size_t i = 0; i < image.rgb.size(); ++i)
    image.rgb[i] = static_cast<std::uint8_t>(i * 2654435761U >> 13);
  return image;
}

TEST(Resize, ShrinkingIsTheAreaMean) {
  const Image source = noisy(23, 17);
  for (const auto& [w, h] :
       {std::pair(23, 17), std::pair(11, 17), std::pair(7, 5), std::pair(22, 16), std::pair(1, 1)}) {
    const Image small = resize(source, w, h);
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        for (int c = 0; c < 3; ++c) {
          const double want =
              area_mean(source, x * 23.0 / w, (x + 1) * 23.0 / w, y * 17.0 / h, (y + 1) * 17.0 / h, c);
          // Rounding to 8 bits is half a step; the rest is float arithmetic.
          ASSERT_NEAR(small.pixel(x, y)[c], want, 0.5 + 1e-3) << w << 'x' << h << " at " << x << ' ' << y;
        }
      }
    }
  }
}

double lanczos(double t) {
  const double pi = std::numbers::pi;
  if (t == 0) return 1;
  return std::abs(t) < 3 ? 3 * std::sin(pi * t) * std::sin(pi * t / 3) / (pi * pi * t * t) : 0;
}

TEST(Resize, EnlargingIsLanczos3) {
  const Image source = noisy(9, 8);
  const int w = 31, h = 20;
  const Image large = resize(source, w, h);
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      const double u = (x + 0.5) * 9 / w - 0.5, v = (y + 0.5) * 8 / h - 0.5;
      double sum = 0, weight = 0;
      for (int j = 0; j < 8; ++j) {
        for (int i = 0; i < 9; ++i) {
          sum += lanczos(i - u) * lanczos(j - v) * source.pixel(i, j)[1];
          weight += lanczos(i - u) * lanczos(j - v);
        }
      }
      ASSERT_NEAR(large.pixel(x, y)[1], std::clamp(sum / weight, 0.0, 255.0), 0.5 + 1e-3) << x << ' ' << y;
    }
  }
}

TEST(Resize, ConstantsStayAndOneAxisMayGrowWhileTheOtherShrinks) {
  const Image flat(10, 40, 173);
  for (const auto& [w, h] : {std::pair(3, 77), std::pair(50, 9), std::pair(64, 64), std::pair(1, 1)}) {
    EXPECT_EQ(max_difference(resize(flat, w, h), Image(w, h, 173)), 0);
  }
}

TEST(Resize, BadSizesAreRefused) {
  EXPECT_THROW(resize(Image(), 4, 4), std::invalid_argument);
  EXPECT_THROW(resize(Image(4, 4), 0, 4), std::invalid_argument);
  EXPECT_THROW(resize(Image(4, 4), 100'000, 100'000), std::invalid_argument);
}

TEST(Pixels, CropAndFlip) {
  const Image source = noisy(8, 6);
  const Image cut = crop(source, 2, 1, 5, 4);
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 5; ++x) ASSERT_EQ(cut.pixel(x, y)[2], source.pixel(x + 2, y + 1)[2]);
  }
  EXPECT_EQ(flip_horizontal(source).pixel(1, 3)[0], source.pixel(6, 3)[0]);
  EXPECT_EQ(max_difference(flip_horizontal(flip_horizontal(source)), source), 0);
  EXPECT_THROW(crop(source, 4, 0, 5, 1), std::invalid_argument);
  EXPECT_THROW(crop(source, -1, 0, 2, 2), std::invalid_argument);
  EXPECT_THROW(crop(source, 0, 0, 0, 1), std::invalid_argument);
}

TEST(Pixels, FloatLayoutsAndInverse) {
  const Image source = noisy(5, 4);
  std::vector<float> hwc(60), chw(60);
  to_float_hwc(source, hwc);
  to_float_chw(source, chw);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      ASSERT_FLOAT_EQ(hwc[3 * i + c], static_cast<float>(source.rgb[3 * i + c] / 127.5 - 1));
      ASSERT_EQ(chw[20 * c + i], hwc[3 * i + c]);
    }
  }
  EXPECT_EQ(max_difference(from_float_hwc(hwc, 5, 4), source), 0);
  EXPECT_THROW(to_float_hwc(source, std::span(hwc).first(59)), std::invalid_argument);
  const std::vector<float> wild{-7.0F, 9.0F, std::numeric_limits<float>::quiet_NaN()};
  EXPECT_EQ(from_float_hwc(wild, 1, 1).rgb, (std::vector<std::uint8_t>{0, 255, 0}));
}

}  // namespace
}  // namespace rankine
