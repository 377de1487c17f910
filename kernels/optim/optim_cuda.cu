// CUDA side of grad_stats and adamw_update: nothing comes back to the host.
#include "kernels/common/launch.cuh"
#include "kernels/common/numeric.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/optim/optim_impl.h"

namespace rankine::cuda {
namespace {

// Threads of a block add up in a fixed order; thread 0 has the sum.
__device__ double block_sum(double x, double* scratch) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int offset = kWarp / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(kAllLanes, x, offset);
  if (lane == 0) scratch[warp] = x;
  __syncthreads();
  if (threadIdx.x != 0) return 0;
  double sum = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) sum += scratch[w];
  return sum;
}

__device__ __forceinline__ float square(float x, float scale) { return x * scale * (x * scale); }

// partial[block] = the sum of squares of every gridDim-th run of 8 · kThreads elements.
__global__ void __launch_bounds__(kThreads) grad_squares_kernel(GradStatsArgs a, bool aligned) {
  __shared__ double scratch[kThreads / kWarp];
  const float scale = a.state->grad_scale;
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads * 8;
  double sum = 0;
  for (std::int64_t i = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * 8; i < a.n; i += stride) {
    float part = 0;
    if (aligned && i + 8 <= a.n) {
      const Eight e = load8(a.grad + i);
#pragma unroll
      for (const float x : e.x) part += square(x, scale);
    } else {
      for (std::int64_t k = i; k < min(a.n, i + 8); ++k) part += square(a.grad[k], scale);
    }
    sum += static_cast<double>(part);
  }
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) a.partial[blockIdx.x] = sum;
}

__device__ void finish(StepState& s, double norm, float loss, const UpdateSpec& spec) {
  const bool finite = isfinite(norm) && isfinite(loss);
  s.norm = static_cast<float>(norm);
  s.loss = loss;
  s.found_inf = finite ? 0.0F : 1.0F;
  if (!finite) {
    s.skipped += 1.0F;
    return;
  }
  const double clip = s.max_norm > 0 ? fmin(1.0, static_cast<double>(s.max_norm) / (norm + 1e-6)) : 1.0;
  const double t = static_cast<double>(s.updates) + 1;
  s.updates = static_cast<float>(t);
  s.factor = static_cast<float>(static_cast<double>(s.grad_scale) * clip);
  s.inverse_bias = static_cast<float>(1 / (1 - pow(static_cast<double>(spec.beta1), t)));
  s.root_bias = static_cast<float>(1 / sqrt(1 - pow(static_cast<double>(spec.beta2), t)));
  s.ema_weight = static_cast<float>(1 - fmin(static_cast<double>(spec.ema_decay), t / (9 + t)));
}

__global__ void __launch_bounds__(kThreads) step_kernel(GradStatsArgs a, int parts, UpdateSpec spec) {
  __shared__ double scratch[kThreads / kWarp];
  double sum = 0;
  for (int p = static_cast<int>(threadIdx.x); p < parts; p += kThreads) sum += a.partial[p];
  sum = block_sum(sum, scratch);
  if (threadIdx.x != 0) return;
  finish(*a.state, sqrt(sum), a.loss ? *a.loss : 0.0F, spec);
}

// The factors of a run's update.
struct Factors {
  float beta1, rest1, beta2, rest2, decay, step, root_bias, eps, grad, ema;
};
__device__ __forceinline__ Factors factors_of(const StepState& s, const UpdateRun& run,
                                              const UpdateSpec& spec) {
  const float lr = s.lr * run.lr_scale;
  return {spec.beta1,          1.0F - spec.beta1, spec.beta2, 1.0F - spec.beta2, 1.0F - lr * run.weight_decay,
          lr * s.inverse_bias, s.root_bias,       spec.eps,   s.factor,          s.ema_weight};
}

// Four neighbours of the arena, of which [from, to) belong to the tile.
struct Group {
  std::int64_t at;
  int from, to;
  bool whole;  // all four, and aligned
};
__device__ __forceinline__ void load4(const float* p, const Group& g, float (&x)[4]) {
  if (g.whole) {
    const float4 v = *reinterpret_cast<const float4*>(p + g.at);
    x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) x[i] = i >= g.from && i < g.to ? p[g.at + i] : 0.0F;
}
__device__ __forceinline__ void store4(float* p, const Group& g, const float (&x)[4]) {
  if (g.whole) {
    *reinterpret_cast<float4*>(p + g.at) = make_float4(x[0], x[1], x[2], x[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i >= g.from && i < g.to) p[g.at + i] = x[i];
  }
}

template <class T>
__device__ __forceinline__ void write_copy(const UpdateCopy& copy, std::int64_t first, const Group& g,
                                           const float (&value)[4]) {
  auto* to = static_cast<T*>(copy.to);
  const std::int64_t at = g.at - first;
  if constexpr (sizeof(T) == 2) {
    if (g.whole && copy.cols == 0 && reinterpret_cast<std::uintptr_t>(to + at) % 8 == 0) {
      *reinterpret_cast<uint2*>(to + at) = make_uint2(pack<T>(copy.scale * value[0], copy.scale * value[1]),
                                                      pack<T>(copy.scale * value[2], copy.scale * value[3]));
      return;
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (i < g.from || i >= g.to) continue;
    std::int64_t k = at + i;
    if (copy.cols != 0) {
      const auto number = static_cast<std::uint32_t>(k), cols = static_cast<std::uint32_t>(copy.cols);
      k = static_cast<std::int64_t>(number / cols) * copy.pitch + number % cols;
    }
    to[k] = from_float<T>(copy.scale * value[i]);
  }
}

__device__ __forceinline__ void update_group(const UpdateArgs& a, const UpdateRun& run, const Factors& f,
                                             const Group& group) {
  float value[4], m[4], v[4], grad[4];
  load4(a.adamw.grad, group, grad);
  load4(a.adamw.m, group, m);
  load4(a.adamw.v, group, v);
  load4(a.adamw.value, group, value);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float g = grad[i] * f.grad;
    m[i] = f.beta1 * m[i] + f.rest1 * g;
    v[i] = f.beta2 * v[i] + f.rest2 * (g * g);
    value[i] = value[i] * f.decay - f.step * m[i] / (sqrtf(v[i]) * f.root_bias + f.eps);
  }
  store4(a.adamw.m, group, m);
  store4(a.adamw.v, group, v);
  store4(a.adamw.value, group, value);
#pragma unroll
  for (const UpdateCopy& copy : run.copies) {
    if (!copy.to) continue;
    if (copy.type == DType::f16)
      write_copy<__half>(copy, run.first, group, value);
    else if (copy.type == DType::bf16)
      write_copy<__nv_bfloat16>(copy, run.first, group, value);
    else
      write_copy<float>(copy, run.first, group, value);
  }
  if (!a.ema) return;
  float ema[4];
  load4(a.ema, group, ema);
#pragma unroll
  for (int i = 0; i < 4; ++i) ema[i] += f.ema * (value[i] - ema[i]);
  store4(a.ema, group, ema);
}

// A block of threads per tile: one run, one set of factors.
__global__ void __launch_bounds__(kThreads) adamw_update_kernel(UpdateArgs a, UpdateSpec spec, bool aligned) {
  if (a.state->found_inf != 0) return;
  const UpdateTile tile = a.tiles[blockIdx.x];
  const UpdateRun& run = a.runs[tile.run];
  const Factors f = factors_of(*a.state, run, spec);
  const std::int64_t end = tile.begin + tile.count, start = tile.begin / 4 * 4;
  for (std::int64_t at = start + std::int64_t{threadIdx.x} * 4; at < end; at += std::int64_t{kThreads} * 4) {
    Group g{at, static_cast<int>(max(std::int64_t{0}, tile.begin - at)),
            static_cast<int>(min(std::int64_t{4}, end - at)), false};
    g.whole = aligned && g.from == 0 && g.to == 4;
    update_group(a, run, f, g);
  }
}

bool aligned16(std::initializer_list<const void*> pointers) {
  return std::all_of(pointers.begin(), pointers.end(),
                     [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

}  // namespace

void grad_stats(CudaStream stream, const GradStatsArgs& a, const UpdateSpec& spec) {
  constexpr std::int64_t kPerBlock = std::int64_t{kThreads} * 8;
  const auto blocks =
      static_cast<unsigned>(std::clamp<std::int64_t>((a.n + kPerBlock - 1) / kPerBlock, 1, kStatsParts));
  launch({.op = "grad_stats", .grid = blocks, .block = kThreads, .stream = stream, .sizes = {a.n}},
         grad_squares_kernel, a, aligned16({a.grad}));
  launch({.op = "grad_stats", .grid = 1, .block = kThreads, .stream = stream, .sizes = {a.n}}, step_kernel, a,
         static_cast<int>(blocks), spec);
}

void adamw_update(CudaStream stream, const UpdateArgs& a, const UpdateSpec& spec) {
  launch({.op = "adamw_update",
          .grid = static_cast<unsigned>(a.tile_count),
          .block = kThreads,
          .stream = stream,
          .sizes = {a.adamw.n, a.run_count}},
         adamw_update_kernel, a, spec, aligned16({a.adamw.value, a.adamw.m, a.adamw.v, a.adamw.grad, a.ema}));
}

}  // namespace rankine::cuda
