#include <array>
#include <cmath>

#include "kernels/dora/dora_impl.h"

namespace rankine::cpu {

void dora_inverse_norms(ThreadPool& pool, const DoraNormArgs& a) {
  const auto *cross = static_cast<const float*>(a.cross), *up = static_cast<const float*>(a.up),
             *up_gram = static_cast<const float*>(a.up_gram);
  const double scale = a.scale;
  pool.parallel_for(a.out, 1024, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      double square = double(a.base[i]) * double(a.base[i]);
      for (std::int64_t r = 0; r < a.rank; ++r) {
        const double b = up[i * a.rank + r];
        square += scale * b * (2.0 * cross[r * a.out + i] + scale * up_gram[i * a.rank + r]);
      }
      a.inverse[i] = square > 0 ? float(1 / std::sqrt(square)) : 0.0F;
    }
  });
}

// A column is summed by one thread, from its first row to its last.
void dora_magnitude_grad(ThreadPool& pool, const DoraMagnitudeArgs& a) {
  constexpr std::int64_t kStrip = 64;
  const auto *dy = static_cast<const float*>(a.dy), *y = static_cast<const float*>(a.y);
  pool.parallel_for((a.cols + kStrip - 1) / kStrip, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t strip = begin; strip < end; ++strip) {
      const std::int64_t first = strip * kStrip, width = std::min(kStrip, a.cols - first);
      std::array<double, kStrip> sums{};
      for (std::int64_t r = 0; r < a.rows; ++r) {
        const float *p = dy + r * a.cols + first, *q = y + r * a.cols + first;
        for (std::int64_t j = 0; j < width; ++j) sums[j] += double(p[j]) * double(q[j]);
      }
      for (std::int64_t j = 0; j < width; ++j) a.dm[first + j] += a.inverse[first + j] * float(sums[j]);
    }
  });
}

}  // namespace rankine::cpu
