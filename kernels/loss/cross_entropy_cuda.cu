// CUDA side of cross_entropy: one block per row, which is read for its maximum and sum together and, where
// the gradient is wanted, once more.
#include <cfloat>

#include "kernels/common/column_sums.cuh"
#include "kernels/common/pointwise.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/loss/loss_impl.h"

namespace rankine::cuda {
namespace {

constexpr int kRowThreads = 512;

template <class T>
struct Rows {
  float* loss;
  T* dlogits;
  std::int32_t* correct;
  const T* logits;
  const std::int32_t* targets;
  const float* weights;
  std::int64_t vocabulary;
};

// The largest number of a thread's part of a row and the sum of exp(x - most). It begins at the lowest finite
// number: exp(-inf - most) is then 0, and a NaN or an infinity in the row still ends in a NaN.
struct Running {
  float most = -FLT_MAX, sum = 0;
  template <int kWidth, class V>
  __device__ void take(const V& x) {
    float top = most;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) top = fmaxf(top, x.x[e]);
    float part = 0;
#pragma unroll
    for (int e = 0; e < kWidth; ++e) part += expf(x.x[e] - top);
    sum = fmaf(sum, expf(most - top), part);
    most = top;
  }
};

template <class T, int kWidth>
__device__ __forceinline__ Running read_row(const Rows<T>& a, const T* x, std::int64_t target, bool& first) {
  Running running;
  const float best = to_float(x[target]);
  first = true;  // whether the target's logit is the first largest, as far as this thread sees
  for (std::int64_t i = std::int64_t{threadIdx.x} * kWidth; i < a.vocabulary; i += kRowThreads * kWidth) {
    const auto v = load_as<kWidth>(x + i);
    running.template take<kWidth>(v);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) first &= i + e < target ? v.x[e] < best : v.x[e] <= best;
  }
  return running;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kRowThreads) cross_entropy_kernel(Rows<T> a) {
  __shared__ float scratch[kRowThreads / kWarp];
  const std::int64_t row = blockIdx.x, target = a.targets[row];
  const T* x = a.logits + row * a.vocabulary;
  T* y = a.dlogits ? a.dlogits + row * a.vocabulary : nullptr;
  const bool inside = target >= 0 && target < a.vocabulary;
  const float weight = inside ? a.weights[row] : NAN;
  const bool ignored = weight == 0;
  bool first = false;
  Running running;
  if (inside && (!ignored || a.correct)) running = read_row<T, kWidth>(a, x, target, first);
  const float best = inside ? to_float(x[target]) : 0.0F;  // before y, which may be x, is written
  first = __syncthreads_and(first);
  const float top = block_max(running.most, scratch);
  const float sum = block_sum(running.sum * expf(running.most - top), scratch);
  if (threadIdx.x == 0) {
    a.loss[row] = ignored ? 0.0F : weight * ((top - best) + logf(sum));
    if (a.correct) a.correct[row] = first ? 1 : 0;
  }
  if (!y) return;
  const float factor = weight / sum;
  for (std::int64_t i = std::int64_t{threadIdx.x} * kWidth; i < a.vocabulary; i += kRowThreads * kWidth) {
    auto v = load_as<kWidth>(x + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float p = expf(v.x[e] - top) * factor;
      v.x[e] = ignored ? 0.0F : i + e == target ? p - weight : p;
    }
    store_as(y + i, v);
  }
}

}  // namespace

void cross_entropy(CudaStream stream, const TypedCrossEntropy& a) {
  constexpr std::string_view kName = "cross_entropy";
  if (a.rows == 0) return;
  with_float_type(kName, a.type, [&]<class T>(T) {
    const Rows<T> args{a.loss,      static_cast<T*>(a.dlogits),
                       a.correct,   static_cast<const T*>(a.logits),
                       a.targets,   a.weights,
                       a.vocabulary};
    const bool eights = a.vocabulary % 8 == 0 && aligned16({a.logits, a.dlogits});
    launch({.op = kName,
            .grid = static_cast<unsigned>(a.rows),
            .block = kRowThreads,
            .stream = stream,
            .sizes = {a.rows, a.vocabulary}},
           eights ? cross_entropy_kernel<T, 8> : cross_entropy_kernel<T, 1>, args);
  });
}

}  // namespace rankine::cuda
