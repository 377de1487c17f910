// What each device implements for norm.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "kernels/common/row_chunks.h"
#include "kernels/norm/norm.h"

namespace rankine {

// Null gain means 1, null bias 0.
struct RowNorm {
  float* y;
  float* stats;  // layer: (rows, 2) mean, rstd; RMS: (rows) rstd
  const float* x;
  const float* gain;
  const float* bias;
  std::int64_t rows, cols;
  float eps;
};
struct RowNormGrad {
  float* dx;
  const float* dy;
  const float* x;
  const float* stats;
  const float* gain;
  std::int64_t rows, cols;
};
struct RowNormParamGrad {
  float* dgain;
  float* dbias;  // null: not wanted
  const float* dy;
  const float* x;
  const float* stats;
  float* partial;  // (2, chunks, cols)
  std::int64_t rows, cols;
};

struct GroupNormSize {
  std::int64_t samples, space, channels, groups;
  RowChunks chunks() const { return {space, channels}; }
  std::int64_t per_group() const { return channels / groups; }
  // Elements of scratch: two partial sums per chunk and channel, two sums and five factors per sample and
  // channel.
  std::int64_t scratch() const { return samples * channels * (2 * chunks().count() + 7); }
};
struct GroupNorm {
  float* y;
  float* stats;  // (samples, groups, 2)
  const float* x;
  const float* gain;
  const float* bias;
  float* scratch;
  GroupNormSize size;
  float eps;
  NormThen then;
};
struct GroupNormGrad {
  float* dx;     // backward only
  float* dgain;  // parameter gradient only
  float* dbias;  // parameter gradient only
  const float* dy;
  const float* x;
  const float* stats;
  const float* gain;
  const float* bias;
  float* scratch;
  GroupNormSize size;
  NormThen then;
};

namespace cpu {
// Factors of one sample, each (channels); u = x - mean, a = rstd gain.
struct Factors {
  const float* mean;
  const float* a;
  const float* bias;
  const float* p;  // backward: rstd mean_group(g)
  const float* q;  // backward: rstd^2 mean_group(g xhat) = rstd^3 mean_group(g u)
};
struct Rows {  // of pixels
  std::int64_t count, channels;
};
struct Pair {  // two sums per channel
  float* first;
  float* second;
};

void layer_norm_forward(ThreadPool& pool, const RowNorm& a);
void layer_norm_backward(ThreadPool& pool, const RowNormGrad& a);
void layer_norm_param_grad(ThreadPool& pool, const RowNormParamGrad& a);
void rms_norm_forward(ThreadPool& pool, const RowNorm& a);
void rms_norm_backward(ThreadPool& pool, const RowNormGrad& a);
void rms_norm_param_grad(ThreadPool& pool, const RowNormParamGrad& a);
void group_norm_forward(ThreadPool& pool, const GroupNorm& a);
void group_norm_backward(ThreadPool& pool, const GroupNormGrad& a);
void group_norm_param_grad(ThreadPool& pool, const GroupNormGrad& a);
}  // namespace cpu

}  // namespace rankine
