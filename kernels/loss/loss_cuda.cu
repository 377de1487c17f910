// CUDA side of the regression and KL losses and of the posterior sample.
#include "kernels/common/pointwise.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/loss/loss_impl.h"

namespace rankine::cuda {
namespace {

// Numbers beside activations T that may be fp32.
template <class T>
struct Reader {
  const void* data;
  bool wide;
  __device__ float operator[](std::int64_t i) const {
    return wide ? static_cast<const float*>(data)[i] : to_float(static_cast<const T*>(data)[i]);
  }
};
template <class T>
Reader<T> reader(const TypedData& d) {
  return {d.data, d.type == DType::f32};
}

// What a sample's sum, and its elements' slopes, are multiplied by.
struct Weights {
  const float* of;    // (samples)
  std::int64_t each;  // elements of a sample
  __device__ float operator[](std::int64_t n) const { return of[n] / static_cast<float>(each); }
};

// The elements that a block sums: blocks chunks · n to chunks · (n + 1) - 1 those of sample n.
struct Part {
  std::int64_t sample, begin, end;
};
__device__ __forceinline__ Part part_of_block(std::int64_t each) {
  const std::int64_t chunks = (each + kLossChunk - 1) / kLossChunk,
                     sample = blockIdx.x / chunks;  // loss_chunks()
  const std::int64_t begin = blockIdx.x % chunks * kLossChunk, first = sample * each;
  return {sample, first + begin, first + min(each, begin + kLossChunk)};
}

// loss[n] = weight[n] times the sum of the sample's partial sums. One block per sample.
__global__ void __launch_bounds__(kThreads)
    finish_loss_kernel(float* loss, const float* partial, std::int64_t chunks, Weights weight) {
  __shared__ float scratch[kThreads / kWarp];
  float sum = 0;
  for (std::int64_t k = threadIdx.x; k < chunks; k += kThreads) sum += partial[blockIdx.x * chunks + k];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) loss[blockIdx.x] = weight[blockIdx.x] * sum;
}

struct Term {
  float value, slope;
};
// sqrt(d² + c²) - c written as d² / (sqrt(d² + c²) + c): no cancellation for small d.
__device__ __forceinline__ Term regression_term(float d, const RegressionSpec& spec) {
  if (spec.kind == Regression::mse) return {d * d, 2 * d};
  const float root = sqrtf(d * d + spec.c * spec.c);
  const float factor = spec.kind == Regression::huber ? 2 * spec.c : 2.0F;
  return {factor * d * d / (root + spec.c), factor * d / root};
}

template <class T>
struct Regress {
  T* dpred;  // null: not wanted
  const T* pred;
  Reader<T> target;
  std::int64_t each;
  RegressionSpec spec;
};
template <class T>
__global__ void __launch_bounds__(kThreads) regression_kernel(float* partial, Regress<T> a, Weights weight) {
  __shared__ float scratch[kThreads / kWarp];
  const Part part = part_of_block(a.each);
  const float factor = weight[part.sample];
  const auto count = static_cast<int>(part.end - part.begin);
  float sum = 0;
#pragma unroll 1  // more spill on sm_90
  for (int k = static_cast<int>(threadIdx.x); k < count; k += kThreads) {
    const std::int64_t i = part.begin + k;
    const Term t = regression_term(to_float(a.pred[i]) - a.target[i], a.spec);
    sum += t.value;
    if (a.dpred) a.dpred[i] = from_float<T>(factor * t.slope);
  }
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__device__ __forceinline__ float clamp_log_variance(float x) {  // a NaN stays one
  return x < kMinLogVariance ? kMinLogVariance : x > kMaxLogVariance ? kMaxLogVariance : x;
}
__device__ __forceinline__ bool inside_clamp(float x) { return x >= kMinLogVariance && x <= kMaxLogVariance; }

template <class T>
struct Kl {
  T* dmoments;
  const T* moments;
  std::int64_t each, channels;  // latent elements of a sample
};
template <class T>
__global__ void __launch_bounds__(kThreads) kl_kernel(float* partial, Kl<T> a, Weights weight) {
  __shared__ float scratch[kThreads / kWarp];
  const Part part = part_of_block(a.each);
  const float factor = weight[part.sample];
  float sum = 0;
  for (std::int64_t i = part.begin + threadIdx.x; i < part.end; i += kThreads) {
    const std::int64_t at = i / a.channels * 2 * a.channels + i % a.channels;
    const float mean = to_float(a.moments[at]), raw = to_float(a.moments[at + a.channels]);
    const float log_variance = clamp_log_variance(raw), excess = expm1f(log_variance);
    sum += 0.5F * (mean * mean + (excess - log_variance));
    a.dmoments[at] = from_float<T>(fmaf(factor, mean, to_float(a.dmoments[at])));
    if (!inside_clamp(raw)) continue;
    T* slope = a.dmoments + at + a.channels;
    *slope = from_float<T>(fmaf(factor, 0.5F * excess, to_float(*slope)));
  }
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// z (..., Z) of T or fp32; moments (..., 2Z).
template <class T>
struct Sample {
  void* z;
  bool wide;
  const T* moments;
  Reader<T> eps;
  std::int64_t channels;
  __device__ void operator()(std::int64_t i) const {
    const T* m = moments + i / channels * 2 * channels + i % channels;
    const float value = fmaf(expf(0.5F * clamp_log_variance(to_float(m[channels]))), eps[i], to_float(*m));
    if (wide) {
      static_cast<float*>(z)[i] = value;
    } else {
      static_cast<T*>(z)[i] = from_float<T>(value);
    }
  }
};
template <class T>
struct SampleBackward {
  T* dmoments;
  Reader<T> dz;
  const T* moments;
  Reader<T> eps;
  std::int64_t channels;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t at = i / channels * 2 * channels + i % channels;
    const float raw = to_float(moments[at + channels]), g = dz[i];
    const float slope = inside_clamp(raw) ? 0.5F * expf(0.5F * raw) * eps[i] * g : 0.0F;
    dmoments[at] = from_float<T>(g);
    dmoments[at + channels] = from_float<T>(slope);
  }
};

// A loss of every sample: `kernel` sums parts of them, one block each.
struct Sums {
  float* loss;     // (samples)
  float* partial;  // (samples, chunks)
  std::int64_t samples;
  Weights weight;
};
template <class Args>
void sum_samples(std::string_view op, CudaStream stream, const Sums& s, void (*kernel)(float*, Args, Weights),
                 const Args& args) {
  const std::int64_t chunks = loss_chunks(s.weight.each);
  const auto launch_blocks = [&](std::int64_t blocks, auto* run, auto&&... arguments) {
    if (blocks == 0) return;
    launch({.op = op,
            .grid = static_cast<unsigned>(blocks),
            .block = kThreads,
            .stream = stream,
            .sizes = {s.samples, s.weight.each}},
           run, arguments...);
  };
  launch_blocks(s.samples * chunks, kernel, s.partial, args, s.weight);
  launch_blocks(s.samples, finish_loss_kernel, s.loss, s.partial, chunks, s.weight);
}

}  // namespace

void regression_loss(CudaStream stream, const TypedRegression& a) {
  constexpr std::string_view kName = "regression_loss";
  with_float_type(kName, a.type, [&]<class T>(T) {
    const Regress<T> args{static_cast<T*>(a.dpred), static_cast<const T*>(a.pred), reader<T>(a.target),
                          a.each, a.spec};
    sum_samples(kName, stream, {a.loss, a.partial, a.samples, {a.weight, a.each}}, regression_kernel<T>,
                args);
  });
}

void kl_normal_loss(CudaStream stream, const TypedKl& a) {
  constexpr std::string_view kName = "kl_normal_loss";
  const std::int64_t each = a.size.pixels * a.size.channels;
  with_float_type(kName, a.type, [&]<class T>(T) {
    const Kl<T> args{static_cast<T*>(a.dmoments), static_cast<const T*>(a.moments), each, a.size.channels};
    sum_samples(kName, stream, {a.loss, a.partial, a.size.samples, {a.weight, each}}, kl_kernel<T>, args);
  });
}

void sample_posterior(CudaStream stream, const TypedPosterior& a) {
  constexpr std::string_view kName = "sample_posterior";
  const std::int64_t n = a.size.samples * a.size.pixels * a.size.channels;
  with_float_type(kName, a.type, [&]<class T>(T) {
    for_each(kName, stream, n,
             Sample<T>{a.z, a.z_type == DType::f32, static_cast<const T*>(a.moments), reader<T>(a.eps),
                       a.size.channels});
  });
}

void sample_posterior_backward(CudaStream stream, const TypedPosteriorGrad& a) {
  constexpr std::string_view kName = "sample_posterior_backward";
  const std::int64_t n = a.size.samples * a.size.pixels * a.size.channels;
  with_float_type(kName, a.type, [&]<class T>(T) {
    for_each(kName, stream, n,
             SampleBackward<T>{static_cast<T*>(a.dmoments), reader<T>(a.dz), static_cast<const T*>(a.moments),
                               reader<T>(a.eps), a.size.channels});
  });
}

}  // namespace rankine::cuda
