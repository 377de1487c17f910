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
  const float* a;  // (samples)
  const float* x;
  const float* b;  // (samples)
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

// On CUDA y and x have one type; `v` beside them is of that type or fp32.
namespace cuda {
struct Pointwise {
  void* y;
  const void* x;
  const void* z;  // null where one input is enough
  std::int64_t n;
  DType type;
};
struct Broadcast {
  void* y;
  DType type;
  Typed v;
};
struct TypedSums {  // out (samples, channels) of any type
  void* out;
  DType out_type;
  Typed x;
  float* partial;  // (samples * chunks, channels)
  SampleMap size;
};
struct ChannelMove {  // y = [a | b] or back; one type
  void* y;
  void* a;
  void* b;
  ChannelSplit size;
  std::int64_t bytes;  // of an element
};
struct TypedMix {
  void* y;
  DType type;
  const float* a;  // (samples)
  const void* x;
  const float* b;  // (samples)
  const void* z;
  DType in_type;  // of x and z: fp32 or that of y
  std::int64_t samples, each;
};

void fill(CudaStream stream, void* y, DType dtype, std::int64_t n, float value);
void copy(CudaStream stream, void* y, DType dtype, Typed x, std::int64_t n);
void scale(CudaStream stream, const Pointwise& p, float s);
void add(CudaStream stream, const Pointwise& p);
void add_scaled(CudaStream stream, const Pointwise& p, float s);
void multiply(CudaStream stream, const Pointwise& p);
void lerp(CudaStream stream, const Pointwise& p, float weight);
void add_per_sample(CudaStream stream, const Broadcast& b, SampleMap size);
void multiply_per_sample(CudaStream stream, const Broadcast& b, SampleMap size);
void sum_per_sample(CudaStream stream, const TypedSums& args);
void add_to_each_sample(CudaStream stream, const Broadcast& b, std::int64_t samples, std::int64_t each);
void sum_over_samples(CudaStream stream, float* dtable, Typed dy, std::int64_t samples, std::int64_t each);
void concat_channels(CudaStream stream, const ChannelMove& m);
void split_channels(CudaStream stream, const ChannelMove& m);
void mix_per_sample(CudaStream stream, const TypedMix& args);
}  // namespace cuda

}  // namespace rankine
