#include "kernels/common/column_sums.h"
#include "kernels/norm/norm_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm/group_norm_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

// Channels-last: a pixel is a row of channels, so all inner loops run over channels with factors per channel,
// and only the small (sample, channel) tables know about groups. Sums run over chunks of rows (row_chunks.h),
// which spreads even one sample over all threads.
HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::Factors;
using cpu::Pair;
using cpu::Rows;

// first = sum (x - shift), second = sum (x - shift)^2 per channel. Two rows per pass over the sums.
void chunk_moments(Pair sums, const float* x, const float* shift, Rows rows) {
  std::fill_n(sums.first, rows.channels, 0.0F);
  std::fill_n(sums.second, rows.channels, 0.0F);
  for (std::int64_t r = 0; r < rows.count; r += 2) {
    const float* upper = x + r * rows.channels;
    const bool both = r + 1 < rows.count;
    for_vectors(rows.channels, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF s = io.get(shift + i);
      const VecF d = hn::Sub(io.get(upper + i), s);
      const VecF e = both ? hn::Sub(io.get(upper + rows.channels + i), s) : hn::Zero(F32());
      io.put(hn::Add(io.get(sums.first + i), hn::Add(d, e)), sums.first + i);
      io.put(hn::Add(io.get(sums.second + i), hn::MulAdd(d, d, hn::Mul(e, e))), sums.second + i);
    });
  }
}

void apply_rows(float* y, const float* x, Factors f, Rows rows, NormThen then) {
  for (std::int64_t r = 0; r < rows.count; ++r, x += rows.channels, y += rows.channels) {
    const auto affine = [](VecF v, VecF mean, VecF a, VecF b)
                            HWY_ATTR { return hn::MulAdd(hn::Sub(v, mean), a, b); };
    if (then == NormThen::silu) {
      map(
          y, rows.channels,
          [&](VecF v, VecF mean, VecF a, VecF b) HWY_ATTR { return silu(affine(v, mean, a, b)); }, x, f.mean,
          f.a, f.bias);
    } else {
      map(y, rows.channels, affine, x, f.mean, f.a, f.bias);
    }
  }
}

// The gradient at the output of the affine map: dy, times the slope of SiLU where there is one.
template <NormThen kThen, class Io>
HWY_INLINE VecF inner_grad(const Io& io, const float* dy, VecF u, const Factors& f, std::int64_t i) {
  const VecF g = io.get(dy + i);
  if constexpr (kThen == NormThen::nothing) return g;
  return hn::Mul(g, silu_slope(hn::MulAdd(u, io.get(f.a + i), io.get(f.bias + i))));
}

// first = sum dh, second = sum dh u per channel.
template <NormThen kThen>
HWY_INLINE void chunk_grads_as(Pair sums, const float* dy, const float* x, Factors f, Rows rows) {
  std::fill_n(sums.first, rows.channels, 0.0F);
  std::fill_n(sums.second, rows.channels, 0.0F);
  for (std::int64_t r = 0; r < rows.count; ++r, x += rows.channels, dy += rows.channels) {
    for_vectors(rows.channels, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF u = io.keep(hn::Sub(io.get(x + i), io.get(f.mean + i)));
      const VecF dh = inner_grad<kThen>(io, dy, u, f, i);
      io.put(hn::Add(io.get(sums.first + i), dh), sums.first + i);
      io.put(hn::MulAdd(dh, u, io.get(sums.second + i)), sums.second + i);
    });
  }
}
void chunk_grads(Pair sums, const float* dy, const float* x, Factors f, Rows rows, NormThen then) {
  if (then == NormThen::silu) return chunk_grads_as<NormThen::silu>(sums, dy, x, f, rows);
  chunk_grads_as<NormThen::nothing>(sums, dy, x, f, rows);
}

// dx = a dh - p - q u
template <NormThen kThen>
HWY_INLINE void grad_rows_as(float* dx, const float* dy, const float* x, Factors f, Rows rows) {
  for (std::int64_t r = 0; r < rows.count;
       ++r, x += rows.channels, dy += rows.channels, dx += rows.channels) {
    for_vectors(rows.channels, [&](auto io, std::int64_t i) HWY_ATTR {
      const VecF u = hn::Sub(io.get(x + i), io.get(f.mean + i));
      const VecF dh = inner_grad<kThen>(io, dy, u, f, i);
      const VecF rest = hn::MulAdd(u, io.get(f.q + i), io.get(f.p + i));
      io.put(hn::MulSub(dh, io.get(f.a + i), rest), dx + i);
    });
  }
}
void grad_rows(float* dx, const float* dy, const float* x, Factors f, Rows rows, NormThen then) {
  if (then == NormThen::silu) return grad_rows_as<NormThen::silu>(dx, dy, x, f, rows);
  grad_rows_as<NormThen::nothing>(dx, dy, x, f, rows);
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(chunk_moments);
HWY_EXPORT(apply_rows);
HWY_EXPORT(chunk_grads);
HWY_EXPORT(grad_rows);

namespace {

// The scratch of one call, by name. Every table but the partials is (samples, channels).
struct Scratch {
  Pair partial;  // (samples, chunks, channels)
  Pair sums;
  float *mean, *a, *bias, *p, *q;
};
Scratch scratch_of(float* base, const GroupNormSize& size) {
  const std::int64_t table = size.samples * size.channels;
  const std::int64_t partial = table * size.chunks().count();
  float* t = base + 2 * partial;
  return {{base, base + partial}, {t, t + table}, t + 2 * table, t + 3 * table,
          t + 4 * table,          t + 5 * table,  t + 6 * table};
}
Factors factors_of(const Scratch& s, std::int64_t sample, std::int64_t channels) {
  const std::int64_t at = sample * channels;
  return {s.mean + at, s.a + at, s.bias + at, s.p + at, s.q + at};
}

// body(sample, first row of the map, rows, partial row) for every chunk, then the sums over chunks.
template <class Body>
void sum_chunks(ThreadPool& pool, const GroupNormSize& size, const Scratch& s, const Body& body) {
  const RowChunks chunks = size.chunks();
  const std::int64_t count = chunks.count(), channels = size.channels;
  pool.parallel_for(size.samples * count, chunks.grain(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t sample = i / count, first = chunks.begin(i % count);
      const Rows rows{chunks.end(i % count) - first, channels};
      body(sample, sample * size.space + first, rows,
           Pair{s.partial.first + i * channels, s.partial.second + i * channels});
    }
  });
  combine_chunks(pool, {s.sums.first, s.partial.first, size.samples, count, channels, Write::overwrite});
  combine_chunks(pool, {s.sums.second, s.partial.second, size.samples, count, channels, Write::overwrite});
}

// body(sample, first row of the map, rows) over all rows; a range may span samples.
template <class Body>
void for_rows(ThreadPool& pool, const GroupNormSize& size, const Body& body) {
  pool.parallel_for(size.samples * size.space, grain_of(size.channels),
                    [&](std::int64_t begin, std::int64_t end) {
                      while (begin < end) {
                        const std::int64_t sample = begin / size.space;
                        const std::int64_t stop = std::min(end, (sample + 1) * size.space);
                        body(sample, begin, Rows{stop - begin, size.channels});
                        begin = stop;
                      }
                    });
}

// body(sample, group, first channel in the (samples, channels) tables) for every group.
template <class Body>
void for_groups(ThreadPool& pool, const GroupNormSize& size, const Body& body) {
  pool.parallel_for(size.samples * size.groups, grain_of(8 * size.per_group()),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin; i < end; ++i) {
                        const std::int64_t sample = i / size.groups, group = i % size.groups;
                        body(sample, group, sample * size.channels + group * size.per_group());
                      }
                    });
}

// A rough mean per channel from a few rows spread over each sample: sums about it do not cancel when the mean
// is far larger than the deviation.
void rough_means(float* shift, const float* x, const GroupNormSize& size) {
  const std::int64_t taken = std::min<std::int64_t>(8, size.space);
  for (std::int64_t n = 0; n < size.samples; ++n, shift += size.channels) {
    std::fill_n(shift, size.channels, 0.0F);
    for (std::int64_t k = 0; k < taken; ++k) {
      const float* row = x + (n * size.space + k * size.space / taken) * size.channels;
      for (std::int64_t j = 0; j < size.channels; ++j) shift[j] += row[j] / static_cast<float>(taken);
    }
  }
}

// Statistics of one group in double from the sums of its channels about their rough means, and the factors
// that apply them. The mean's rounding error goes into the bias.
void finish_forward(const GroupNorm& a, const Scratch& s, std::int64_t sample, std::int64_t group,
                    std::int64_t at) {
  const std::int64_t width = a.size.per_group(), channel = group * width;
  const double space = double(a.size.space);
  const float* shift = s.p;
  double mean = 0, variance = 0;
  for (std::int64_t i = at; i < at + width; ++i) mean += shift[i] + s.sums.first[i] / space;
  mean /= double(width);
  for (std::int64_t i = at; i < at + width; ++i) {
    const double rest = s.sums.first[i] / space;
    const double off = shift[i] + rest - mean;
    variance += s.sums.second[i] / space - rest * rest + off * off;
  }
  const double rstd = 1 / std::sqrt(std::max(0.0, variance / double(width)) + double(a.eps));
  float* stats = a.stats + 2 * (sample * a.size.groups + group);
  stats[0] = static_cast<float>(mean);
  stats[1] = static_cast<float>(rstd);
  for (std::int64_t j = 0; j < width; ++j) {
    const double factor = rstd * (a.gain ? a.gain[channel + j] : 1.0F);
    s.mean[at + j] = stats[0];
    s.a[at + j] = static_cast<float>(factor);
    s.bias[at + j] = static_cast<float>((a.bias ? a.bias[channel + j] : 0.0F) - (mean - stats[0]) * factor);
  }
}

// Factors from saved statistics, and the sums of dh and dh u per sample and channel.
Scratch sum_grads(ThreadPool& pool, const GroupNormGrad& a) {
  const Scratch s = scratch_of(a.scratch, a.size);
  for_groups(pool, a.size, [&](std::int64_t sample, std::int64_t group, std::int64_t at) {
    const float* stats = a.stats + 2 * (sample * a.size.groups + group);
    const std::int64_t width = a.size.per_group(), channel = group * width;
    for (std::int64_t j = 0; j < width; ++j) {
      s.mean[at + j] = stats[0];
      s.a[at + j] = stats[1] * (a.gain ? a.gain[channel + j] : 1.0F);
      s.bias[at + j] = a.bias ? a.bias[channel + j] : 0.0F;
    }
  });
  const std::int64_t channels = a.size.channels;
  sum_chunks(pool, a.size, s, [&](std::int64_t sample, std::int64_t row, Rows rows, Pair partial) {
    HWY_DYNAMIC_DISPATCH(chunk_grads)
    (partial, a.dy + row * channels, a.x + row * channels, factors_of(s, sample, channels), rows, a.then);
  });
  return s;
}

}  // namespace

void group_norm_forward(ThreadPool& pool, const GroupNorm& a) {
  const Scratch s = scratch_of(a.scratch, a.size);
  const std::int64_t channels = a.size.channels;
  rough_means(s.p, a.x, a.size);
  sum_chunks(pool, a.size, s, [&](std::int64_t sample, std::int64_t row, Rows rows, Pair partial) {
    HWY_DYNAMIC_DISPATCH(chunk_moments)(partial, a.x + row * channels, s.p + sample * channels, rows);
  });
  for_groups(pool, a.size, [&](std::int64_t sample, std::int64_t group, std::int64_t at) {
    finish_forward(a, s, sample, group, at);
  });
  for_rows(pool, a.size, [&](std::int64_t sample, std::int64_t row, Rows rows) {
    HWY_DYNAMIC_DISPATCH(apply_rows)
    (a.y + row * channels, a.x + row * channels, factors_of(s, sample, channels), rows, a.then);
  });
}

void group_norm_backward(ThreadPool& pool, const GroupNormGrad& a) {
  const Scratch s = sum_grads(pool, a);
  const std::int64_t channels = a.size.channels, width = a.size.per_group();
  const double elements = double(a.size.space) * double(width);
  for_groups(pool, a.size, [&](std::int64_t sample, std::int64_t group, std::int64_t at) {
    const double rstd = a.stats[2 * (sample * a.size.groups + group) + 1];
    double sum_g = 0, sum_gu = 0;
    for (std::int64_t j = 0; j < width; ++j) {
      const double gain = a.gain ? a.gain[group * width + j] : 1.0F;
      sum_g += gain * s.sums.first[at + j];
      sum_gu += gain * s.sums.second[at + j];
    }
    std::fill_n(s.p + at, width, static_cast<float>(rstd * sum_g / elements));
    std::fill_n(s.q + at, width, static_cast<float>(rstd * rstd * rstd * sum_gu / elements));
  });
  for_rows(pool, a.size, [&](std::int64_t sample, std::int64_t row, Rows rows) {
    const std::int64_t at = row * channels;
    HWY_DYNAMIC_DISPATCH(grad_rows)
    (a.dx + at, a.dy + at, a.x + at, factors_of(s, sample, channels), rows, a.then);
  });
}

void group_norm_param_grad(ThreadPool& pool, const GroupNormGrad& a) {
  const Scratch s = sum_grads(pool, a);
  const std::int64_t channels = a.size.channels, width = a.size.per_group();
  for (std::int64_t j = 0; j < channels; ++j) {
    double gain = a.dgain[j], bias = a.dbias[j];
    for (std::int64_t n = 0; n < a.size.samples; ++n) {
      const double rstd = a.stats[2 * (n * a.size.groups + j / width) + 1];
      gain += rstd * s.sums.second[n * channels + j];
      bias += s.sums.first[n * channels + j];
    }
    a.dgain[j] = static_cast<float>(gain);
    a.dbias[j] = static_cast<float>(bias);
  }
}

}  // namespace rankine::cpu
#endif
