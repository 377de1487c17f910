#include "io/image/resize.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "engine/core/error.h"
#include "io/image/decode.h"

namespace rankine {

namespace {

// out[i] = sum over k of weights[begin[i] .. begin[i + 1]) times source[first[i] + k].
struct Taps {
  std::vector<int> first;
  std::vector<std::size_t> begin{0};
  std::vector<float> weights;

  void add(int from, const std::vector<double>& raw) {
    double sum = 0;
    for (const double w : raw) sum += w;
    first.push_back(from);
    for (const double w : raw) weights.push_back(static_cast<float>(w / sum));
    begin.push_back(weights.size());
  }
};

double sinc(double t) {
  const double x = std::numbers::pi * t;
  return t == 0 ? 1 : std::sin(x) / x;
}

double lanczos3(double t) { return std::abs(t) < 3 ? sinc(t) * sinc(t / 3) : 0; }

Taps area_taps(int source, int target) {
  const double scale = static_cast<double>(source) / target;
  Taps taps;
  std::vector<double> raw;
  for (int i = 0; i < target; ++i) {
    const double left = i * scale, right = (i + 1) * scale;
    const int first = std::min(static_cast<int>(left), source - 1);
    raw.clear();
    for (int j = first; j < source && j < right; ++j) {
      const double overlap = std::min(right, j + 1.0) - std::max(left, static_cast<double>(j));
      if (overlap > 1e-9) raw.push_back(overlap);
      if (overlap <= 1e-9 && raw.empty()) raw.push_back(0);
    }
    taps.add(first, raw);
  }
  return taps;
}

Taps lanczos_taps(int source, int target) {
  const double scale = static_cast<double>(source) / target;
  Taps taps;
  std::vector<double> raw;
  for (int i = 0; i < target; ++i) {
    const double centre = (i + 0.5) * scale - 0.5;
    const int first = std::max(0, static_cast<int>(std::ceil(centre - 3)));
    const int last = std::min(source - 1, static_cast<int>(std::floor(centre + 3)));
    raw.clear();
    for (int j = first; j <= last; ++j) raw.push_back(lanczos3(j - centre));
    taps.add(first, raw);
  }
  return taps;
}

Taps taps_for(int source, int target) {
  return target <= source ? area_taps(source, target) : lanczos_taps(source, target);
}

// One source row to `out` of 3 * target floats.
void resize_row(const std::uint8_t* row, const Taps& taps, float* out) {
  for (std::size_t i = 0; i < taps.first.size(); ++i) {
    const std::uint8_t* in = row + 3 * static_cast<std::size_t>(taps.first[i]);
    float r = 0, g = 0, b = 0;
    for (std::size_t k = taps.begin[i]; k < taps.begin[i + 1]; ++k, in += 3) {
      r += taps.weights[k] * static_cast<float>(in[0]);
      g += taps.weights[k] * static_cast<float>(in[1]);
      b += taps.weights[k] * static_cast<float>(in[2]);
    }
    out[3 * i] = r;
    out[3 * i + 1] = g;
    out[3 * i + 2] = b;
  }
}

}  // namespace

Image resize(const Image& source, int width, int height) {
  require<std::invalid_argument>(source.width > 0 && source.height > 0, "resize: the source is empty");
  require<std::invalid_argument>(
      width > 0 && height > 0 && static_cast<std::int64_t>(width) * height <= kMaxImagePixels,
      "resize: target ", width, " x ", height, "; expected 1 x 1 to 64 Mpixel");
  if (source.width == width && source.height == height) return source;

  const Taps across = taps_for(source.width, width), down = taps_for(source.height, height);
  const std::size_t row = 3 * static_cast<std::size_t>(width);
  std::vector<float> rows(row * static_cast<std::size_t>(source.height));
  for (int y = 0; y < source.height; ++y) {
    resize_row(source.pixel(0, y), across, rows.data() + row * static_cast<std::size_t>(y));
  }
  Image result(width, height);
  std::vector<float> sum(row);
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    const float* in = rows.data() + row * static_cast<std::size_t>(down.first[y]);
    for (std::size_t k = down.begin[y]; k < down.begin[y + 1]; ++k, in += row) {
      const float weight = down.weights[k];
      for (std::size_t i = 0; i < row; ++i) sum[i] += weight * in[i];
    }
    std::uint8_t* out = result.pixel(0, static_cast<int>(y));
    for (std::size_t i = 0; i < row; ++i) {
      out[i] = static_cast<std::uint8_t>(std::lround(std::clamp(sum[i], 0.0F, 255.0F)));
    }
  }
  return result;
}

}  // namespace rankine
