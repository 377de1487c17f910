#include "engine/core/nf4.h"

namespace rankine {
namespace {

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

std::uint8_t nearest_nf4(float x) { return nearest(kNf4Table, x); }
std::uint8_t nearest_nf4_scale(float x) { return nearest(kNf4ScaleMap, x); }

}  // namespace rankine
