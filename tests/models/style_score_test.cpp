#include "models/diffusion/style_score.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "engine/core/error.h"
#include "io/dataset/metadata.h"
#include "io/image/decode.h"

namespace rankine {
namespace {

using Rgb = std::array<double, 3>;

constexpr Rgb kNavy{9, 11, 38}, kRed{255, 34, 40}, kGreen{40, 255, 80}, kBlue{30, 92, 255};

// A picture by a function of the distance, as a share of the width, from a circle's line (negative inside).
template <class F>
Image circle_picture(int side, F colour_at) {
  Image image(side, side);
  for (int y = 0; y < side; ++y)
    for (int x = 0; x < side; ++x) {
      const Rgb colour = colour_at(std::hypot(x + 0.5 - side / 2.0, y + 0.5 - side / 2.0) / side - 0.35);
      for (std::size_t k = 0; k < 3; ++k)
        image.pixel(x, y)[k] = static_cast<std::uint8_t>(std::clamp(colour[k], 0.0, 255.0));
    }
  return image;
}

Image flat_disc(Rgb colour, Rgb background, int side = 128) {
  return circle_picture(side, [&](double d) { return d < 0 ? colour : background; });
}

// A line in the colour whose glow falls off into the wall.
Image neon_circle(Rgb colour, int side = 128) {
  return circle_picture(side, [&](double d) {
    const double light = std::min(1.0, 1.2 * std::exp(-std::abs(std::abs(d) - 0.01) / 0.05));
    Rgb out{};
    for (std::size_t k = 0; k < 3; ++k) out[k] = kNavy[k] + light * (colour[k] - kNavy[k]);
    return out;
  });
}

TEST(StyleScore, TellsNeonFromFlat) {
  for (const int side : {64, 100, 128, 512})
    for (const Rgb colour : {kRed, kGreen, kBlue}) {
      EXPECT_GT(style_probability(style_features(neon_circle(colour, side))), 0.5) << side;
      EXPECT_LT(style_probability(style_features(flat_disc(colour, {250, 250, 250}, side))), 0.1) << side;
      EXPECT_LT(style_probability(style_features(flat_disc(colour, {18, 18, 18}, side))), 0.1) << side;
    }
}

TEST(StyleScore, HalfAStyleIsNotTheStyle) {
  EXPECT_LT(style_probability(style_features(flat_disc(kRed, kNavy))), 0.5) << "flat, on the wall";
  EXPECT_LT(style_probability(style_features(flat_disc(kNavy, kNavy))), 0.1) << "the wall alone";
  EXPECT_LT(style_probability(style_features(Image(64, 64, 0))), 0.1) << "black";
}

TEST(StyleScore, FeaturesMeanWhatTheySay) {
  const StyleFeatures wall = style_features(flat_disc(kNavy, kNavy));
  EXPECT_EQ(wall.wall_blueness, 1);  // (38 - 10) / 255 is above the limit
  EXPECT_EQ(wall.light, 0);
  EXPECT_EQ(wall.outline, 0);
  EXPECT_EQ(wall.halo, 0);
  const StyleFeatures white = style_features(Image(64, 64, 255));
  EXPECT_EQ(white.wall_blueness, 0);
  EXPECT_EQ(white.light, 0);
  // Left half (0, 0, 15), right half (100, 0, 0): one change of the strongest channel in each row of cells.
  Image halves(64, 64);
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x) halves.pixel(x, y)[x < 32 ? 2 : 0] = x < 32 ? 15 : 100;
  const StyleFeatures f = style_features(halves);
  const double blueness = (15 - 100 / 2.0) / 2 / 255;
  EXPECT_NEAR(f.wall_blueness, std::max(0.0, blueness / 0.08), 1e-12);
  EXPECT_EQ(f.light, 0);
  EXPECT_NEAR(f.outline, std::sqrt((100 - 15) / 255.0 / 31 / 0.12), 1e-12);
  EXPECT_EQ(f.halo, 1);
}

TEST(StyleScore, NamesColours) {
  EXPECT_EQ(dominant_colour(neon_circle(kRed)), "red");
  EXPECT_EQ(dominant_colour(flat_disc(kGreen, {190, 220, 242})), "green");
  EXPECT_EQ(dominant_colour(flat_disc({132, 56, 196}, {236, 220, 190})), "purple");
  EXPECT_EQ(dominant_colour(Image(64, 64, 200)), std::nullopt);
  EXPECT_EQ(prompt_colour("a large Red star on a light blue background"), "red");
  EXPECT_EQ(prompt_colour("a covered table"), std::nullopt) << "parts of words do not count";
  EXPECT_EQ(prompt_colour("pink"), "pink");
  EXPECT_EQ(prompt_colour(""), std::nullopt);
}

TEST(StyleScore, CountsShares) {
  StyleScore score;
  EXPECT_EQ(score.style_share(), 0);
  score.add(neon_circle(kRed), "a large red circle, neon style");
  score.add(flat_disc(kRed, {250, 250, 250}), "a large red circle");
  score.add(neon_circle(kBlue), "a large red circle, neon style");
  score.add(neon_circle(kBlue), "a circle");
  EXPECT_EQ(score.pictures(), 4);
  EXPECT_DOUBLE_EQ(score.style_share(), 0.75);
  EXPECT_DOUBLE_EQ(score.colour_match(), 2.0 / 3);
  EXPECT_GT(score.mean_probability(), 0.6);
  EXPECT_THROW(score.add(Image(31, 64), ""), DataError);
}

// The example's committed pictures: all in the style, all in the colour of their captions.
TEST(StyleScore, HoldsForTheExamplesPictures) {
  const std::filesystem::path folder =
      std::filesystem::path(RANKINE_SOURCE_DIR) / "examples/sd-style/data/style";
  std::vector<Problem> problems;
  StyleScore score;
  for (const MetadataRow& row : read_metadata(folder / "metadata.csv", problems))
    score.add(decode_image(folder / row.file), row.caption);
  EXPECT_TRUE(problems.empty());
  EXPECT_GE(score.pictures(), 24);
  EXPECT_EQ(score.style_share(), 1);
  EXPECT_EQ(score.colour_match(), 1);
}

}  // namespace
}  // namespace rankine
