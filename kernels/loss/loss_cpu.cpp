#include <cmath>

#include "kernels/loss/loss_impl.h"

namespace rankine::cpu {
namespace {

struct Term {
  float value, slope;
};
// sqrt(d² + c²) - c written as d² / (sqrt(d² + c²) + c): no cancellation for small d.
template <Regression kKind>
Term term_of(float d, float c) {
  if constexpr (kKind == Regression::mse) return {d * d, 2 * d};
  const float root = std::sqrt(d * d + c * c);
  const float factor = kKind == Regression::huber ? 2 * c : 2.0F;
  return {factor * d * d / (root + c), factor * d / root};
}

// Elements [begin, end) of one sample; the sum of the terms, in double.
template <Regression kKind>
double regression_range(const RegressionArgs& a, std::int64_t begin, std::int64_t end, float grad_scale) {
  double sum = 0;
  for (std::int64_t i = begin; i < end; ++i) {
    const Term t = term_of<kKind>(a.pred[i] - a.target[i], a.spec.c);
    sum += t.value;
    if (a.dpred) a.dpred[i] = grad_scale * t.slope;
  }
  return sum;
}

double regression_chunk(const RegressionArgs& a, std::int64_t begin, std::int64_t end, float grad_scale) {
  switch (a.spec.kind) {
    case Regression::mse:
      return regression_range<Regression::mse>(a, begin, end, grad_scale);
    case Regression::huber:
      return regression_range<Regression::huber>(a, begin, end, grad_scale);
    case Regression::smooth_l1:
      return regression_range<Regression::smooth_l1>(a, begin, end, grad_scale);
  }
  return 0;
}

// loss[n] = scale[n] times the sum of the sample's partial sums, in order.
template <class Scale>
void finish_loss(float* loss, const double* partial, std::int64_t samples, std::int64_t chunks,
                 const Scale& scale) {
  for (std::int64_t n = 0; n < samples; ++n) {
    double sum = 0;
    for (std::int64_t k = 0; k < chunks; ++k) sum += partial[n * chunks + k];
    loss[n] = static_cast<float>(scale(n) * sum);
  }
}

float clamp_log_variance(float x) { return std::clamp(x, kMinLogVariance, kMaxLogVariance); }
bool inside_clamp(float x) { return x >= kMinLogVariance && x <= kMaxLogVariance; }

}  // namespace

void regression_loss(ThreadPool& pool, const RegressionArgs& a) {
  const std::int64_t chunks = a.chunks();
  const auto scale = [&](std::int64_t n) { return double(a.weight[n]) / double(a.each); };
  pool.parallel_for(
      a.samples * chunks, grain_of(std::min(kGrain, a.each)), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
          const std::int64_t n = i / chunks, first = n * a.each + i % chunks * kGrain;
          a.partial[i] =
              regression_chunk(a, first, std::min(first + kGrain, (n + 1) * a.each), float(scale(n)));
        }
      });
  finish_loss(a.loss, a.partial, a.samples, chunks, scale);
}

void kl_normal_loss(ThreadPool& pool, const KlArgs& a) {
  const LatentSize& size = a.size;
  const RowChunks chunks = size.chunks();
  const std::int64_t count = chunks.count(), width = 2 * size.channels;
  const auto scale = [&](std::int64_t n) {
    return double(a.weight[n]) / double(size.pixels * size.channels);
  };
  pool.parallel_for(size.samples * count, chunks.grain(), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t n = i / count;
      const auto factor = static_cast<float>(scale(n));
      double sum = 0;
      for (std::int64_t p = chunks.begin(i % count); p < chunks.end(i % count); ++p) {
        const float* m = a.moments + (n * size.pixels + p) * width;
        float* dm = a.dmoments + (n * size.pixels + p) * width;
        for (std::int64_t k = 0; k < size.channels; ++k) {
          const float mean = m[k], log_variance = clamp_log_variance(m[size.channels + k]);
          const float excess = std::expm1(log_variance);
          sum += 0.5 * (double(mean) * mean + excess - log_variance);
          dm[k] += factor * mean;
          if (inside_clamp(m[size.channels + k])) dm[size.channels + k] += factor * 0.5F * excess;
        }
      }
      a.partial[i] = sum;
    }
  });
  finish_loss(a.loss, a.partial, size.samples, count, scale);
}

void sample_posterior(ThreadPool& pool, float* z, const float* moments, const float* eps, LatentSize size) {
  const std::int64_t channels = size.channels;
  pool.parallel_for(size.samples * size.pixels, grain_of(16 * channels),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin * channels; i < end * channels; ++i) {
                        const float* m = moments + i / channels * 2 * channels + i % channels;
                        z[i] = m[0] + std::exp(0.5F * clamp_log_variance(m[channels])) * eps[i];
                      }
                    });
}

void sample_posterior_backward(ThreadPool& pool, const PosteriorGrad& a, LatentSize size) {
  const std::int64_t channels = size.channels;
  pool.parallel_for(size.samples * size.pixels, grain_of(16 * channels),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t i = begin * channels; i < end * channels; ++i) {
                        const std::int64_t at = i / channels * 2 * channels + i % channels;
                        const float log_variance = a.moments[at + channels];
                        const float deviation = std::exp(0.5F * clamp_log_variance(log_variance));
                        a.dmoments[at] = a.dz[i];
                        a.dmoments[at + channels] =
                            inside_clamp(log_variance) ? 0.5F * deviation * a.eps[i] * a.dz[i] : 0.0F;
                      }
                    });
}

}  // namespace rankine::cpu
