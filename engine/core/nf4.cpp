#include "engine/core/nf4.h"

#include <algorithm>
#include <cmath>

namespace rankine {
namespace {

// k-th of the n + 1 bounds of n equal parts of [0.1, 1], counted from the nearer end, one rounding each.
float bound(int k, int n) {
  const float step = (1.0F - 0.1F) / static_cast<float>(n);
  return k < (n + 1) / 2 ? std::fma(step, static_cast<float>(k), 0.1F)
                         : std::fma(-step, static_cast<float>(n - k), 1.0F);
}

std::array<float, 256> make_scale_map() {
  constexpr std::array<float, 7> kDecades = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
  std::array<float, 256> map{};  // the last two stay: 0, and 1 below
  std::size_t at = 0;
  for (int i = 0; i < 7; ++i) {
    const int n = 1 << i;
    for (int k = 0; k < n; ++k) {
      const float middle = (bound(k, n) + bound(k + 1, n)) / 2.0F;
      map[at++] = kDecades[static_cast<std::size_t>(i)] * middle;
      map[at] = -map[at - 1];
      ++at;
    }
  }
  map[255] = 1.0F;
  std::sort(map.begin(), map.end());
  return map;
}

template <std::size_t N>
std::uint8_t nearest(const std::array<float, N>& ascending, float x) {
  std::size_t low = 0, count = N - 1;  // the number of middles below x, by halving
  while (count > 0) {
    const std::size_t half = count / 2, at = low + half;
    if (x > (ascending[at] + ascending[at + 1]) * 0.5F) {
      low = at + 1;
      count -= half + 1;
    } else {
      count = half;
    }
  }
  return static_cast<std::uint8_t>(low);
}

}  // namespace

const std::array<float, 256>& nf4_scale_map() {
  static const std::array<float, 256> map = make_scale_map();
  return map;
}

std::uint8_t nearest_nf4(float x) { return nearest(kNf4Table, x); }
std::uint8_t nearest_nf4_scale(float x) { return nearest(nf4_scale_map(), x); }

}  // namespace rankine
