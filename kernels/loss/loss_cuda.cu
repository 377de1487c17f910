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

// The samples' factors travel with the launch, a few samples at a time.
constexpr std::int64_t kFactors = 64;
struct Factors {
  float of[kFactors];
};
// run(first sample, count, weight[n] / each for each of them) until all samples had their turn.
template <class Run>
void by_factors(std::int64_t samples, const float* weight, std::int64_t each, const Run& run) {
  for (std::int64_t first = 0; first < samples; first += kFactors) {
    const std::int64_t count = std::min(kFactors, samples - first);
    Factors f{};
    for (std::int64_t n = 0; n < count; ++n)
      f.of[n] = static_cast<float>(double(weight[first + n]) / double(each));
    run(first, count, f);
  }
}
dim3 grid_of(std::int64_t chunks, std::int64_t samples) {
  return {static_cast<unsigned>(chunks), static_cast<unsigned>(samples)};
}

// loss[n] = factor[n] times the sum of the sample's partial sums. One block per sample.
__global__ void __launch_bounds__(kThreads)
    finish_loss_kernel(float* loss, const float* partial, std::int64_t chunks, Factors f) {
  __shared__ float scratch[kThreads / kWarp];
  float sum = 0;
  for (std::int64_t k = threadIdx.x; k < chunks; k += kThreads) sum += partial[blockIdx.x * chunks + k];
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) loss[blockIdx.x] = f.of[blockIdx.x] * sum;
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
__global__ void __launch_bounds__(kThreads) regression_kernel(float* partial, Regress<T> a, Factors f) {
  __shared__ float scratch[kThreads / kWarp];
  const std::int64_t first = blockIdx.y * a.each, begin = std::int64_t{blockIdx.x} * kLossChunk;
  const std::int64_t end = min(a.each, begin + kLossChunk);
  float sum = 0;
  for (std::int64_t i = first + begin + threadIdx.x; i < first + end; i += kThreads) {
    const Term t = regression_term(to_float(a.pred[i]) - a.target[i], a.spec);
    sum += t.value;
    if (a.dpred) a.dpred[i] = from_float<T>(f.of[blockIdx.y] * t.slope);
  }
  sum = block_sum(sum, scratch);
  if (threadIdx.x == 0) partial[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = sum;
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
__global__ void __launch_bounds__(kThreads) kl_kernel(float* partial, Kl<T> a, Factors f) {
  __shared__ float scratch[kThreads / kWarp];
  const std::int64_t first = blockIdx.y * a.each, begin = std::int64_t{blockIdx.x} * kLossChunk;
  const std::int64_t end = min(a.each, begin + kLossChunk);
  const float factor = f.of[blockIdx.y];
  float sum = 0;
  for (std::int64_t i = first + begin + threadIdx.x; i < first + end; i += kThreads) {
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
  if (threadIdx.x == 0) partial[std::int64_t{blockIdx.y} * gridDim.x + blockIdx.x] = sum;
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

}  // namespace

void regression_loss(CudaStream stream, const TypedRegression& a) {
  constexpr std::string_view kName = "regression_loss";
  const std::int64_t chunks = loss_chunks(a.each);
  by_factors(a.samples, a.weight, a.each, [&](std::int64_t first, std::int64_t count, const Factors& f) {
    with_float_type(kName, a.type, [&]<class T>(T) {
      const std::int64_t at = first * a.each;
      const auto* target = static_cast<const std::byte*>(a.target.data) + bytes_of(a.target.type, at);
      const Regress<T> args{a.dpred ? static_cast<T*>(a.dpred) + at : nullptr,
                            static_cast<const T*>(a.pred) + at, reader<T>({target, a.target.type}), a.each,
                            a.spec};
      if (chunks > 0) {
        launch({.op = kName,
                .grid = grid_of(chunks, count),
                .block = kThreads,
                .stream = stream,
                .sizes = {count, a.each}},
               regression_kernel<T>, a.partial, args, f);
      }
    });
    launch({.op = kName,
            .grid = static_cast<unsigned>(count),
            .block = kThreads,
            .stream = stream,
            .sizes = {count, a.each}},
           finish_loss_kernel, a.loss + first, a.partial, chunks, f);
  });
}

void kl_normal_loss(CudaStream stream, const TypedKl& a) {
  constexpr std::string_view kName = "kl_normal_loss";
  const std::int64_t each = a.size.pixels * a.size.channels, chunks = loss_chunks(each);
  by_factors(a.size.samples, a.weight, each, [&](std::int64_t first, std::int64_t count, const Factors& f) {
    with_float_type(kName, a.type, [&]<class T>(T) {
      const Kl<T> args{static_cast<T*>(a.dmoments) + 2 * first * each,
                       static_cast<const T*>(a.moments) + 2 * first * each, each, a.size.channels};
      if (chunks > 0) {
        launch({.op = kName,
                .grid = grid_of(chunks, count),
                .block = kThreads,
                .stream = stream,
                .sizes = {count, each}},
               kl_kernel<T>, a.partial, args, f);
      }
    });
    launch({.op = kName,
            .grid = static_cast<unsigned>(count),
            .block = kThreads,
            .stream = stream,
            .sizes = {count, each}},
           finish_loss_kernel, a.loss + first, a.partial, chunks, f);
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
