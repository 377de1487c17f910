// What each device implements for optim.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include <cmath>

#include "engine/core/cuda_device.h"
#include "kernels/optim/optim.h"

namespace rankine {

struct AdamWArgs {
  float* value;
  float* m;
  float* v;
  const float* grad;
  std::int64_t n;
};
// The constants of one run's update.
struct AdamWFactors {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float decay;      // 1 - lr wd
  float step;       // lr / (1 - beta1^t)
  float root_bias;  // 1 / sqrt(1 - beta2^t)
  float eps, grad_scale;
};

struct GradStatsArgs {
  StepState* state;
  const float* grad;
  const float* loss;  // or null
  std::int64_t n;
  double* partial;  // kStatsParts
};
// Parts a gradient is summed in on CUDA, one block of threads each; the CPU sums chunks of kStatsChunk.
inline constexpr std::int64_t kStatsParts = 512, kStatsChunk = 65536;
constexpr std::int64_t stats_partials(bool on_cuda, std::int64_t n) {
  return on_cuda ? kStatsParts : std::max<std::int64_t>(1, (n + kStatsChunk - 1) / kStatsChunk);
}

// A segment as the devices read it; `to` is the first number written.
struct UpdateCopy {
  void* to;
  float scale;
  DType type;
  std::int64_t cols, pitch;  // cols = 0: numbers side by side
};
struct UpdateRun {
  std::int64_t first, count;
  float lr_scale, weight_decay;
  UpdateCopy copies[2];
};
// Elements [begin, begin + count) of one run: between two multiples of kUpdateTile, so that full groups of
// four are aligned as the arena is.
inline constexpr std::int64_t kUpdateTile = 4096;
struct UpdateTile {
  std::int64_t begin;
  std::int32_t count, run;
};
struct UpdateArgs {
  AdamWArgs adamw;
  float* ema;  // or null
  const StepState* state;
  const UpdateRun* runs;
  const UpdateTile* tiles;
  std::int64_t run_count, tile_count;
};

namespace cpu {
// One run's values and moments.
void adamw_run(ThreadPool& pool, const AdamWArgs& a, const AdamWFactors& f);
void grad_stats(ThreadPool& pool, const GradStatsArgs& a, const UpdateSpec& spec);
void adamw_update(ThreadPool& pool, const UpdateArgs& a, const UpdateSpec& spec);
}  // namespace cpu
namespace cuda {
void grad_stats(CudaStream stream, const GradStatsArgs& a, const UpdateSpec& spec);
void adamw_update(CudaStream stream, const UpdateArgs& a, const UpdateSpec& spec);
}  // namespace cuda

}  // namespace rankine
