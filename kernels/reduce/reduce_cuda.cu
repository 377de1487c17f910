// CUDA side of reduce.h: blocks leave partial results, which the host adds in order.
#include "kernels/common/column_sums.cuh"
#include "kernels/common/pointwise.cuh"
#include "kernels/reduce/reduce_impl.h"

namespace rankine::cuda {
namespace {

template <Reduced kWhat>
__device__ __forceinline__ float term(float x) {
  return kWhat == Reduced::sum ? x : x * x;
}

template <class T, Reduced kWhat, int kWidth>
__global__ void __launch_bounds__(kThreads)
    reduce_kernel(double* partial, const T* from, std::int64_t n, std::int64_t chunk) {
  __shared__ double shared[kThreads];
  const std::int64_t begin = blockIdx.x * chunk, end = min(n, begin + chunk);
  double total = 0;
  for (std::int64_t i = begin + kWidth * threadIdx.x; i < end; i += kWidth * kThreads) {
    if (kWidth == 8 && i + 8 > end) {  // the tail of the tensor
      for (std::int64_t k = i; k < end; ++k) total += double(term<kWhat>(to_float(from[k])));
      break;
    }
    auto x = load_as<kWidth>(from + i);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) x.x[e] = term<kWhat>(x.x[e]);
#pragma unroll
    for (int step = kWidth / 2; step > 0; step /= 2) {
      for (int e = 0; e < step; ++e) x.x[e] += x.x[e + step];
    }
    total += double(x.x[0]);
  }
  const int thread = static_cast<int>(threadIdx.x);
  shared[thread] = total;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) shared[thread] += shared[thread + half];
  }
  if (thread == 0) partial[blockIdx.x] = shared[0];
}

// One block of threads.
__global__ void __launch_bounds__(kThreads) add_sum_kernel(float* total, const float* x, std::int64_t n) {
  __shared__ double shared[kThreads];
  const int thread = static_cast<int>(threadIdx.x);
  double sum = 0;
  for (std::int64_t i = thread; i < n; i += kThreads) sum += static_cast<double>(x[i]);
  shared[thread] = sum;
  for (int half = kThreads / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread < half) shared[thread] += shared[thread + half];
  }
  if (thread == 0) *total = static_cast<float>(static_cast<double>(*total) + shared[0]);
}

template <Reduced kWhat>
void reduce_as(std::string_view op, CudaStream stream, const TypedReduction& r) {
  with_float_type(op, r.type, [&]<class T>(T) {
    const bool eights = aligned16({r.x});
    launch({.op = op,
            .grid = static_cast<unsigned>(r.chunks()),
            .block = kThreads,
            .stream = stream,
            .sizes = {r.n}},
           eights ? reduce_kernel<T, kWhat, 8> : reduce_kernel<T, kWhat, 1>, r.partial,
           static_cast<const T*>(r.x), r.n, r.chunk());
  });
}

struct AddSum {
  float* out;
  __device__ void operator()(std::int64_t, std::int64_t col, const float (&sums)[1]) const {
    out[col] += sums[0];
  }
};

}  // namespace

void reduce(std::string_view op, CudaStream stream, const TypedReduction& r, Reduced what) {
  if (r.n == 0) return;
  if (what == Reduced::sum) return reduce_as<Reduced::sum>(op, stream, r);
  reduce_as<Reduced::squares>(op, stream, r);
}

void add_sum(CudaStream stream, float* total, const float* x, std::int64_t n) {
  launch({.op = "add_sum", .grid = 1, .block = kThreads, .stream = stream, .sizes = {n}}, add_sum_kernel,
         total, x, n);
}

void add_column_sums(CudaStream stream, const TypedRowSums& r) {
  constexpr std::string_view kName = "add_column_sums";
  const ColumnBlocks blocks{1, r.rows, r.cols};
  with_float_type(kName, r.type, [&]<class T>(T) {
    const PlainTerms<T> terms{static_cast<const T*>(r.x), r.rows, r.cols};
    if (aligned8<T>(r.x, r.cols)) {
      column_partials<8, 1>(kName, stream, blocks, r.partial, terms);
    } else {
      column_partials<1, 1>(kName, stream, blocks, r.partial, terms);
    }
  });
  finish_columns<1>(kName, stream, {r.partial, 1, blocks.chunks(), r.cols}, AddSum{r.out});
}

}  // namespace rankine::cuda
