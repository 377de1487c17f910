// What each device implements for loss.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "kernels/common/row_chunks.h"
#include "kernels/loss/loss.h"

namespace rankine {

struct RegressionArgs {
  float* loss;   // (samples)
  float* dpred;  // null: not wanted
  const float* pred;
  const float* target;
  const float* weight;  // (samples), host memory
  double* partial;      // (samples, chunks)
  std::int64_t samples, each;
  constexpr std::int64_t chunks() const { return (each + kGrain - 1) / kGrain; }
  RegressionSpec spec;
};

// The clamp of a log-variance.
inline constexpr float kMinLogVariance = -30.0F, kMaxLogVariance = 20.0F;

struct LatentSize {  // moments (samples, pixels, 2 channels)
  std::int64_t samples, pixels, channels;
  RowChunks chunks() const { return {pixels, 2 * channels}; }
};
struct KlArgs {
  float* loss;  // (samples)
  float* dmoments;
  const float* moments;
  const float* weight;  // (samples), host memory
  double* partial;      // (samples, chunks)
  LatentSize size;
};
struct PosteriorGrad {
  float* dmoments;
  const float* dz;
  const float* moments;
  const float* eps;
};

struct CrossEntropyArgs {
  float* loss;            // (rows)
  float* dlogits;         // null: not wanted
  std::int32_t* correct;  // null: not wanted
  const float* logits;
  const std::int32_t* targets;
  const float* weights;
  std::int64_t rows, vocabulary;
};

namespace cpu {
void regression_loss(ThreadPool& pool, const RegressionArgs& a);
void kl_normal_loss(ThreadPool& pool, const KlArgs& a);
void sample_posterior(ThreadPool& pool, float* z, const float* moments, const float* eps, LatentSize size);
void sample_posterior_backward(ThreadPool& pool, const PosteriorGrad& a, LatentSize size);
// Throws ShapeError for the first target outside the vocabulary.
void check_targets(std::string_view op, const CrossEntropyArgs& a);
void cross_entropy(ThreadPool& pool, const CrossEntropyArgs& a);
}  // namespace cpu

}  // namespace rankine
