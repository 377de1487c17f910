#include <algorithm>

#include "kernels/common/row_chunks.h"
#include "kernels/resample/resample_impl.h"

namespace rankine::cpu {

void upsample_nearest_forward(ThreadPool& pool, float* y, const float* x, const Upsample& u) {
  const std::int64_t row = u.out_w * u.channels;
  pool.parallel_for(u.samples * u.out_h, grain_of(row), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const std::int64_t source_row = r / u.out_h * u.in_h + Upsample::source(r % u.out_h, u.in_h, u.out_h);
      const float* from = x + source_row * u.in_w * u.channels;
      for (std::int64_t j = 0; j < u.out_w; ++j) {
        std::copy_n(from + Upsample::source(j, u.in_w, u.out_w) * u.channels, u.channels,
                    y + r * row + j * u.channels);
      }
    }
  });
}

void upsample_nearest_adjoint(ThreadPool& pool, float* dx, const float* dy, const Upsample& u) {
  const std::int64_t channels = u.channels;
  pool.parallel_for(u.samples * u.in_h, grain_of(u.in_w * channels),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t r = begin; r < end; ++r) {
                        const std::int64_t sample = r / u.in_h, row = r % u.in_h;
                        const std::int64_t top = Upsample::first_reader(row, u.in_h, u.out_h);
                        const std::int64_t bottom = Upsample::first_reader(row + 1, u.in_h, u.out_h);
                        for (std::int64_t col = 0; col < u.in_w; ++col) {
                          float* out = dx + (r * u.in_w + col) * channels;
                          std::fill_n(out, channels, 0.0F);
                          const std::int64_t left = Upsample::first_reader(col, u.in_w, u.out_w);
                          const std::int64_t right = Upsample::first_reader(col + 1, u.in_w, u.out_w);
                          for (std::int64_t i = top; i < bottom; ++i) {
                            for (std::int64_t j = left; j < right; ++j) {
                              const float* from = dy + ((sample * u.out_h + i) * u.out_w + j) * channels;
                              for (std::int64_t k = 0; k < channels; ++k) out[k] += from[k];
                            }
                          }
                        }
                      }
                    });
}

}  // namespace rankine::cpu
