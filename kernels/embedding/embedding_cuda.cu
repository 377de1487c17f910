// CUDA side of embedding.h.
#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/embedding/embedding_impl.h"
#include "kernels/matmul/stored_rows_cuda.cuh"

namespace rankine::cuda {
namespace {

constexpr std::int64_t kMaxRows = 65536;  // blocks of threads in one launch; the loop does the rest

struct LookUp {
  LookUpArgs args;
  std::int64_t row_bytes;
  bool table_aligned, y_aligned;
};

// A block of threads per row of y, eight numbers to a thread.
template <class F>
__global__ void __launch_bounds__(kThreads) look_up_kernel(LookUp f) {
  __shared__ float table[16];
  load_table<F>(table);
  const LookUpArgs& a = f.args;
  const std::int64_t y_bytes = a.cols * (a.type == DType::f32 ? 4 : 2);
  for (std::int64_t r = blockIdx.x; r < a.n; r += gridDim.x) {
    const std::int64_t id = a.ids[r];
    const bool known = id >= 0 && id < a.vocabulary;
    const std::uint8_t* row = static_cast<const std::uint8_t*>(a.table) + (known ? id : 0) * f.row_bytes;
    for (std::int64_t k = std::int64_t{threadIdx.x} * 8; k < a.cols; k += std::int64_t{kThreads} * 8) {
      Eight e;
      if (known) {
        read_row<F>(row, {k, a.cols, f.table_aligned}, table, e);
      } else {
        for (float& x : e.x) x = NAN;
      }
      store_activations(static_cast<std::uint8_t*>(a.y) + r * y_bytes, a.type, {k, a.cols, f.y_aligned}, e);
    }
  }
}

// Positions of a block's 256 ids that hold `id`, a bit each; every thread gets them all.
__device__ __forceinline__ void find(const std::int32_t* ids, std::int64_t n, std::int32_t id,
                                     unsigned (&found)[kThreads / kWarp]) {
  const auto i = static_cast<std::int64_t>(threadIdx.x);
  const unsigned mine = __ballot_sync(kAllLanes, i < n && ids[i] == id);
  __syncthreads();
  if (threadIdx.x % kWarp == 0) found[threadIdx.x / kWarp] = mine;
  __syncthreads();
}

// A block of threads per position and 256 columns: the first position of an id adds the rows of all of them,
// in order; the others find an earlier one and leave.
__global__ void __launch_bounds__(kThreads) look_up_grad_kernel(LookUpGradArgs a) {
  __shared__ unsigned found[kThreads / kWarp];
  const std::int64_t position = blockIdx.x, column = std::int64_t{blockIdx.y} * kThreads + threadIdx.x;
  const std::int32_t id = a.ids[position];
  if (id < 0 || id >= a.vocabulary) return;
  bool earlier = false;
  for (std::int64_t i = threadIdx.x; i < position; i += kThreads) earlier = earlier || a.ids[i] == id;
  if (__syncthreads_or(earlier)) return;
  const bool active = column < a.cols;
  const std::int64_t to = id * a.cols + column;
  float sum = active ? load_number(a.dtable, a.table_type, to) : 0.0F;
  for (std::int64_t begin = position; begin < a.n; begin += kThreads) {
    find(a.ids + begin, min(a.n - begin, std::int64_t{kThreads}), id, found);
    if (!active) continue;
    for (int w = 0; w < kThreads / kWarp; ++w) {
      for (unsigned bits = found[w]; bits != 0; bits &= bits - 1) {
        const std::int64_t row = begin + w * kWarp + __ffs(static_cast<int>(bits)) - 1;
        sum += load_number(a.dy, a.type, row * a.cols + column);
      }
    }
  }
  if (active) store_number(a.dtable, a.table_type, to, sum);
}

struct Timestep {
  TimestepArgs a;
  double log_period;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / a.half, k = i % a.half;
    const double angle = a.t[row] * exp(-log_period * static_cast<double>(k) / static_cast<double>(a.half));
    store_number(a.y, a.type, row * 2 * a.half + k, static_cast<float>(cos(angle)));
    store_number(a.y, a.type, row * 2 * a.half + a.half + k, static_cast<float>(sin(angle)));
  }
};

}  // namespace

void embedding_forward(CudaStream stream, const LookUpArgs& a) {
  constexpr std::string_view kName = "embedding_forward";
  if (a.n == 0 || a.cols == 0) return;
  const LookUp f{a, static_cast<std::int64_t>(bytes_of(a.table_type, a.cols)),
                 plain_aligned(a.table, a.table_type, a.cols), plain_aligned(a.y, a.type, a.cols)};
  with_weight_format(kName, a.table_type, [&](auto format) {
    launch({.op = kName,
            .grid = static_cast<unsigned>(std::min(a.n, kMaxRows)),
            .block = kThreads,
            .stream = stream,
            .sizes = {a.n, a.vocabulary, a.cols}},
           look_up_kernel<decltype(format)>, f);
  });
}

void embedding_weight_grad(CudaStream stream, const LookUpGradArgs& a) {
  if (a.n == 0 || a.cols == 0) return;
  const dim3 grid(static_cast<unsigned>(a.n), static_cast<unsigned>((a.cols + kThreads - 1) / kThreads));
  launch({.op = "embedding_weight_grad",
          .grid = grid,
          .block = kThreads,
          .stream = stream,
          .sizes = {a.n, a.vocabulary, a.cols}},
         look_up_grad_kernel, a);
}

void timestep_embedding(CudaStream stream, const TimestepArgs& a) {
  for_each("timestep_embedding", stream, a.n * a.half,
           Timestep{a, std::log(static_cast<double>(a.max_period))});
}

}  // namespace rankine::cuda
