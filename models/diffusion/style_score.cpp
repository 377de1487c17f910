#include "models/diffusion/style_score.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "engine/core/error.h"
#include "models/diffusion/style_coefficients.h"

namespace rankine {

namespace {

struct Cell {
  std::array<double, 3> rgb{};  // 0..1
  double luminance() const { return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]; }
  double high() const { return std::max({rgb[0], rgb[1], rgb[2]}); }
  double low() const { return std::min({rgb[0], rgb[1], rgb[2]}); }
  bool saturated() const { return high() - low() > neon::kSaturated * high(); }
};

std::vector<Cell> cell_means(const Image& image) {
  constexpr int kCells = neon::kCells;
  require<DataError>(image.width >= kCells && image.height >= kCells,
                     "style score: expected a picture of at least ", kCells, " x ", kCells, " pixels, got ",
                     image.width, " x ", image.height);
  std::vector<Cell> cells(static_cast<std::size_t>(kCells) * kCells);
  std::vector<int> pixels(cells.size());
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) {
      const auto at = static_cast<std::size_t>(static_cast<long>(y) * kCells / image.height * kCells +
                                               static_cast<long>(x) * kCells / image.width);
      for (std::size_t k = 0; k < 3; ++k) cells[at].rgb[k] += image.pixel(x, y)[k];
      ++pixels[at];
    }
  for (std::size_t at = 0; at < cells.size(); ++at)
    for (double& value : cells[at].rgb) value /= 255.0 * pixels[at];
  return cells;
}

// Mean absolute difference of neighbours, down plus across. By the strongest channel, so that colours are
// equal.
double mean_change(const std::vector<Cell>& cells) {
  constexpr int kCells = neon::kCells;
  double sum = 0;
  for (int y = 0; y < kCells; ++y)
    for (int x = 0; x < kCells; ++x) {
      const std::size_t at = static_cast<std::size_t>(y) * kCells + static_cast<std::size_t>(x);
      if (x + 1 < kCells) sum += std::abs(cells[at + 1].high() - cells[at].high());
      if (y + 1 < kCells) sum += std::abs(cells[at + kCells].high() - cells[at].high());
    }
  return sum / (kCells * (kCells - 1));
}

double hue_degrees(const Cell& cell) {
  const double r = cell.rgb[0], g = cell.rgb[1], b = cell.rgb[2], high = cell.high(),
               spread = high - cell.low();
  if (high == r) return 60 * std::fmod((g - b) / spread + 6, 6.0);
  return 60 * (high == g ? (b - r) / spread + 2 : (r - g) / spread + 4);
}

std::size_t nearest_hue(double degrees) {
  std::size_t best = 0;
  double least = 360;
  for (std::size_t i = 0; i < neon::kHues.size(); ++i) {
    const double apart = std::abs(degrees - neon::kHues[i].second);
    const double distance = std::min(apart, 360 - apart);
    if (distance < least) least = distance, best = i;
  }
  return best;
}

bool is_letter(char ch) { return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z'); }

bool same_word(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  });
}

}  // namespace

StyleFeatures style_features(const Image& image) {
  const std::vector<Cell> cells = cell_means(image);
  double blueness = 0;
  int dark = 0, light = 0, half_lit = 0;
  for (const Cell& cell : cells) {
    if (cell.luminance() < neon::kDark) {
      blueness += cell.rgb[2] - (cell.rgb[0] + cell.rgb[1]) / 2;
      ++dark;
    }
    if (!cell.saturated()) continue;
    light += cell.high() > neon::kLit;
    half_lit += cell.high() > neon::kDim && cell.high() < neon::kHaloTop;
  }
  const double all = static_cast<double>(cells.size()), coloured = std::max(half_lit + light, 1);
  const auto share = [](double value, double full) { return std::clamp(value / full, 0.0, 1.0); };
  return {share(dark == 0 ? 0 : blueness / dark, neon::kFullBlueness), share(light / all, neon::kFullLight),
          std::sqrt(share(mean_change(cells), neon::kFullOutline)),
          share(half_lit / coloured, neon::kFullHalo)};
}

double style_probability(const StyleFeatures& features) {
  const double score = neon::kBias + neon::kWallBluenessWeight * features.wall_blueness +
                       neon::kLightWeight * features.light + neon::kOutlineWeight * features.outline +
                       neon::kHaloWeight * features.halo;
  return 1 / (1 + std::exp(-score));
}

std::optional<std::string_view> dominant_colour(const Image& image) {
  std::array<double, neon::kHues.size()> weight{};
  for (const Cell& cell : cell_means(image))
    if (cell.saturated() && cell.high() > neon::kLit)
      weight[nearest_hue(hue_degrees(cell))] += cell.high() - cell.low();
  const auto* const most = std::max_element(weight.begin(), weight.end());
  if (*most == 0) return std::nullopt;
  return neon::kHues[static_cast<std::size_t>(most - weight.begin())].first;
}

std::optional<std::string_view> prompt_colour(std::string_view prompt) {
  for (std::size_t begin = 0; begin < prompt.size();) {
    std::size_t end = begin;
    while (end < prompt.size() && is_letter(prompt[end])) ++end;
    for (const auto& entry : neon::kHues)
      if (same_word(prompt.substr(begin, end - begin), entry.first)) return entry.first;
    begin = end + 1;
  }
  return std::nullopt;
}

void StyleScore::add(const Image& image, std::string_view prompt) {
  const double probability = style_probability(style_features(image));
  ++pictures_;
  probability_sum_ += probability;
  in_style_ += probability > 0.5;
  const std::optional<std::string_view> wanted = prompt_colour(prompt);
  if (!wanted) return;
  ++with_colour_;
  colour_right_ += dominant_colour(image) == wanted;
}

}  // namespace rankine
