// What each device implements for loss.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/common/row_chunks.h"
#include "kernels/loss/loss.h"

namespace rankine {

struct RegressionArgs {
  float* loss;   // (samples)
  float* dpred;  // null: not wanted
  const float* pred;
  const float* target;
  const float* weight;  // (samples)
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
  const float* weight;  // (samples)
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

namespace cuda {
struct TypedData {
  const void* data;
  DType type;
};
// Elements that one block sums, and blocks of a sample: one fp32 partial sum each.
inline constexpr std::int64_t kLossChunk = 2048;
constexpr std::int64_t loss_chunks(std::int64_t each) { return (each + kLossChunk - 1) / kLossChunk; }

struct TypedRegression {
  float* loss;  // (samples)
  void* dpred;  // null: not wanted
  const void* pred;
  DType type;
  TypedData target;     // of `type` or fp32
  const float* weight;  // (samples)
  float* partial;       // (samples, chunks)
  std::int64_t samples, each;
  RegressionSpec spec;
};
struct TypedKl {
  float* loss;  // (samples)
  void* dmoments;
  const void* moments;
  DType type;
  const float* weight;  // (samples)
  float* partial;       // (samples, chunks)
  LatentSize size;
};
struct TypedPosterior {
  void* z;
  DType z_type;  // `type` or fp32; so eps
  const void* moments;
  DType type;
  TypedData eps;
  LatentSize size;
};
struct TypedPosteriorGrad {
  void* dmoments;
  TypedData dz;
  const void* moments;
  DType type;
  TypedData eps;
  LatentSize size;
};
struct TypedCrossEntropy {
  float* loss;            // (rows)
  void* dlogits;          // null: not wanted
  std::int32_t* correct;  // null: not wanted
  const void* logits;
  DType type;
  const std::int32_t* targets;
  const float* weights;
  std::int64_t rows, vocabulary;
};

void regression_loss(CudaStream stream, const TypedRegression& a);
void kl_normal_loss(CudaStream stream, const TypedKl& a);
void sample_posterior(CudaStream stream, const TypedPosterior& a);
void sample_posterior_backward(CudaStream stream, const TypedPosteriorGrad& a);
void cross_entropy(CudaStream stream, const TypedCrossEntropy& a);
}  // namespace cuda

}  // namespace rankine
