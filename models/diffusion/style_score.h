// A number that says whether the neon style of examples/sd-style was learned, and one that says whether the
// content was kept. Both look at the picture averaged over 32 x 32 cells, so sizes compare.
//
// Style: logistic regression with fixed coefficients (style_coefficients.h, written by the example's
// fit_style_classifier.py) on four features, each 0..1 and high in the style:
//   wall_blueness  mean of B - (R + G) / 2 over the dark cells
//   light          share of cells that are saturated and bright
//   outline        root of the mean change of the strongest channel between neighbouring cells
//   halo           share of the saturated light that is half bright: glow
// Content: the colour word of the prompt against the hue that most of the saturated light has.
#pragma once

#include <optional>
#include <string_view>

#include "io/image/image.h"

namespace rankine {

struct StyleFeatures {
  double wall_blueness = 0, light = 0, outline = 0, halo = 0;
};

// Throws DataError for a picture smaller than 32 x 32.
StyleFeatures style_features(const Image& image);

// 0..1; above one half counts as the style.
double style_probability(const StyleFeatures& features);

// red, orange, yellow, green, cyan, blue, purple or pink; nothing where no cell is saturated and bright.
std::optional<std::string_view> dominant_colour(const Image& image);

// The first of these colour words in a prompt, as a whole word: in the example's captions, that of the shape.
std::optional<std::string_view> prompt_colour(std::string_view prompt);

// Over the pictures of a run of prompts.
class StyleScore {
 public:
  void add(const Image& image, std::string_view prompt);

  int pictures() const { return pictures_; }
  double style_share() const { return share(in_style_, pictures_); }  // classified as the style
  double mean_probability() const { return share(probability_sum_, pictures_); }
  double colour_match() const { return share(colour_right_, with_colour_); }  // of prompts with a colour word

 private:
  static double share(double part, int whole) { return whole == 0 ? 0 : part / whole; }
  int pictures_ = 0, in_style_ = 0, with_colour_ = 0, colour_right_ = 0;
  double probability_sum_ = 0;
};

}  // namespace rankine
