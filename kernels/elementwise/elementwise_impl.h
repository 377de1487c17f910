// What each device implements for elementwise.h: plain pointers, sizes already checked. Internal to this
// folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/common/checks.h"

namespace rankine {

struct Typed {  // n elements of some float type
  const void* data;
  DType dtype;
};
struct SampleMap {  // (samples, space, channels)
  std::int64_t samples, space, channels;
};
struct ChannelSplit {  // rows of a + b channels
  std::int64_t rows, a, b;
};
struct SampleSums {
  float* out;  // (samples, channels)
  const float* x;
  float* partial;  // (samples * chunks of space, channels)
  SampleMap size;
};
struct SampleMix {
  float* y;
  const float* a;  // (samples), host memory
  const float* x;
  const float* b;  // (samples), host memory
  const float* z;
  std::int64_t samples, each;
};

namespace cpu {
void fill(ThreadPool& pool, float* y, std::int64_t n, float value);
void copy(ThreadPool& pool, void* y, DType dtype, Typed x, std::int64_t n);
void scale(ThreadPool& pool, float* y, const float* x, std::int64_t n, float s);
void add(ThreadPool& pool, float* y, const float* a, const float* b, std::int64_t n);
void add_scaled(ThreadPool& pool, float* y, const float* x, std::int64_t n, float s);
void multiply(ThreadPool& pool, float* y, const float* a, const float* b, std::int64_t n);
void lerp(ThreadPool& pool, float* y, const float* x, std::int64_t n, float weight);
void add_per_sample(ThreadPool& pool, float* y, const float* v, SampleMap size);
void multiply_per_sample(ThreadPool& pool, float* y, const float* v, SampleMap size);
void sum_per_sample(ThreadPool& pool, const SampleSums& args);
void add_to_each_sample(ThreadPool& pool, float* y, const float* table, std::int64_t samples,
                        std::int64_t each);
void sum_over_samples(ThreadPool& pool, float* dtable, const float* dy, std::int64_t samples,
                      std::int64_t each);
void concat_channels(ThreadPool& pool, float* y, const float* a, const float* b, ChannelSplit size);
void split_channels(ThreadPool& pool, float* a, float* b, const float* y, ChannelSplit size);
void mix_per_sample(ThreadPool& pool, const SampleMix& args);
}  // namespace cpu

namespace cuda {
void fill(CudaStream stream, float* y, std::int64_t n, float value);
void copy(CudaStream stream, void* y, DType dtype, Typed x, std::int64_t n);
void scale(CudaStream stream, float* y, const float* x, std::int64_t n, float s);
void add(CudaStream stream, float* y, const float* a, const float* b, std::int64_t n);
void add_scaled(CudaStream stream, float* y, const float* x, std::int64_t n, float s);
void multiply(CudaStream stream, float* y, const float* a, const float* b, std::int64_t n);
void lerp(CudaStream stream, float* y, const float* x, std::int64_t n, float weight);
void add_per_sample(CudaStream stream, float* y, const float* v, SampleMap size);
void multiply_per_sample(CudaStream stream, float* y, const float* v, SampleMap size);
void sum_per_sample(CudaStream stream, const SampleSums& args);
void add_to_each_sample(CudaStream stream, float* y, const float* table, std::int64_t samples,
                        std::int64_t each);
void sum_over_samples(CudaStream stream, float* dtable, const float* dy, std::int64_t samples,
                      std::int64_t each);
void concat_channels(CudaStream stream, float* y, const float* a, const float* b, ChannelSplit size);
void split_channels(CudaStream stream, float* a, float* b, const float* y, ChannelSplit size);
void mix_per_sample(CudaStream stream, const SampleMix& args);
}  // namespace cuda

}  // namespace rankine
