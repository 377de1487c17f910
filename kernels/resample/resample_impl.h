// What each device implements for resample.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/resample/resample.h"

namespace rankine {

struct Upsample {
  std::int64_t samples, channels;
  std::int64_t in_h, in_w, out_h, out_w;
  std::int64_t in_elements() const { return samples * in_h * in_w * channels; }
  std::int64_t out_elements() const { return samples * out_h * out_w * channels; }
  // The input coordinate that output i reads, and the first output that reads input i.
  static constexpr std::int64_t source(std::int64_t i, std::int64_t in, std::int64_t out) {
    return i * in / out;
  }
  static constexpr std::int64_t first_reader(std::int64_t i, std::int64_t in, std::int64_t out) {
    return (i * out + in - 1) / in;
  }
};

namespace cpu {
void upsample_nearest_forward(ThreadPool& pool, float* y, const float* x, const Upsample& u);
void upsample_nearest_adjoint(ThreadPool& pool, float* dx, const float* dy, const Upsample& u);
}  // namespace cpu

namespace cuda {
// Both maps of `type`: f32, f16 or bf16.
void upsample_nearest_forward(CudaStream stream, void* y, const void* x, DType type, const Upsample& u);
void upsample_nearest_adjoint(CudaStream stream, void* dx, const void* dy, DType type, const Upsample& u);
}  // namespace cuda

}  // namespace rankine
