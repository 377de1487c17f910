// What each device implements for rope.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include "engine/core/cuda_device.h"
#include "kernels/rope/rope.h"

namespace rankine {

struct RopeTable {
  float* cos_sin;  // (rows, 2 pairs)
  const std::int32_t* positions;
  const float* inv_freq;  // (pairs)
  std::int64_t rows, pairs;
  float factor;
};

struct RopeRotation {
  float* y;
  const float* x;
  const float* cos_sin;
  std::int64_t rows;
  float direction;  // 1 forward, -1 backward
  RopeSpec spec;
};

namespace cpu {
void rope_table(ThreadPool& pool, const RopeTable& args);
void rope_rotate(ThreadPool& pool, const RopeRotation& args);
}  // namespace cpu

namespace cuda {
struct RopeRotationArgs {
  void* y;
  const void* x;
  DType dtype;  // of both
  const float* cos_sin;
  std::int64_t rows;
  float direction;
  RopeSpec spec;
};
void rope_table(CudaStream stream, const RopeTable& args);
void rope_rotate(CudaStream stream, const RopeRotationArgs& args);
}  // namespace cuda

}  // namespace rankine
