// What each device implements for norm.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/common/column_blocks.h"
#include "kernels/common/middle.h"
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

namespace cuda {
// A gain or bias: fp32 or the activations' type; null means 1, or 0.
struct NormParam {
  const void* data;
  DType type;
};
struct TypedRowNorm {
  void* y;
  float* stats;  // layer: (rows, 2) mean, rstd; RMS: (rows) rstd
  const void* x;
  DType type;
  NormParam gain, bias;
  std::int64_t rows, cols;
  float eps;
  bool centred;  // layer, not RMS
};
struct TypedRowNormGrad {
  void* dx;
  const void* dy;
  const void* x;
  const float* stats;
  DType type;
  NormParam gain;
  std::int64_t rows, cols;
  bool centred;
};
struct TypedRowNormParamGrad {
  float* dgain;
  float* dbias;  // null: not wanted
  const void* dy;
  const void* x;
  const float* stats;
  DType type;
  float* partial;  // row_norm_scratch
  std::int64_t rows, cols;
  bool centred;
};
constexpr std::int64_t row_norm_scratch(std::int64_t rows, std::int64_t cols, bool centred) {
  return (centred ? 2 : 1) * ColumnBlocks{1, rows, cols}.partial();
}

struct TypedGroupNorm {
  void* y;
  float* stats;  // (samples, groups, 2)
  const void* x;
  DType type;
  NormParam gain, bias;
  float* scratch;
  GroupNormSize size;
  float eps;
  NormThen then;
};
struct TypedGroupNormGrad {
  void* dx;      // backward only
  float* dgain;  // parameter gradient only
  float* dbias;  // parameter gradient only
  const void* dy;
  const void* x;
  DType type;
  const float* stats;
  NormParam gain, bias;
  float* scratch;
  GroupNormSize size;
  NormThen then;
};
constexpr ColumnBlocks group_norm_blocks(const GroupNormSize& s) { return {s.samples, s.space, s.channels}; }
// Two partial sums per chunk and channel, two numbers per group.
constexpr std::int64_t group_norm_scratch(const GroupNormSize& s) {
  return 2 * (group_norm_blocks(s).partial() + s.samples * s.groups);
}

// The longest row that is summed in the order of row_stats.cuh, if it is of eights at aligned addresses.
inline constexpr std::int64_t kRowOfEights = 8192;

void norm_rows_forward(std::string_view op, CudaStream stream, const TypedRowNorm& a);
void norm_rows_forward_with_middle(std::string_view op, CudaStream stream, const TypedRowNorm& a,
                                   const MiddleArgs& m);
void norm_rows_backward(std::string_view op, CudaStream stream, const TypedRowNormGrad& a);
void norm_rows_param_grad(std::string_view op, CudaStream stream, const TypedRowNormParamGrad& a);
void group_norm_forward(CudaStream stream, const TypedGroupNorm& a);
void group_norm_backward(CudaStream stream, const TypedGroupNormGrad& a);
void group_norm_param_grad(CudaStream stream, const TypedGroupNormGrad& a);
}  // namespace cuda

}  // namespace rankine
