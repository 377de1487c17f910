// CUDA side of the layer and RMS norms. An RMS norm is a layer norm whose mean is zero.
#include "kernels/common/column_sums.cuh"
#include "kernels/common/pointwise.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/norm/norm_param.cuh"
#include "kernels/norm/row_stats.cuh"

namespace rankine::cuda {
namespace {

// A row belongs to a warp, or to a block where it is long, and stays in registers: eights per thread at most.
constexpr int kHeld = 4;
constexpr std::int64_t kWarpCols = 8 * kHeld * kWarp, kBlockCols = 8 * kHeld * kThreads;
static_assert(kBlockCols == kRowOfEights);

template <int kTeam>
__device__ __forceinline__ float team_sum(float x) {
  if constexpr (kTeam == kWarp) {
    return warp_sum(x);
  } else {
    __shared__ float scratch[kThreads / kWarp];
    return block_sum(x, scratch);
  }
}
template <int kTeam>
__device__ __forceinline__ std::int64_t team_row() {
  return std::int64_t{blockIdx.x} * (kThreads / kTeam) + threadIdx.x / kTeam;
}

template <class T>
struct Forward {
  T* y;
  float* stats;
  const T* x;
  ParamReader<T> gain, bias;
  std::int64_t rows, cols;
  float eps;
  bool centred;
};
// Sum over a row of what its chunks gave, parts[k] being that of chunk k * kTeam + thread: row_stats.cuh.
template <int kTeam>
__device__ __forceinline__ float row_sum(const float (&parts)[kHeld], int chunks) {
  float sum = 0;
  if constexpr (kTeam == kWarp) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) sum += parts[k];
  } else {
    __shared__ float all[kHeld * kTeam];
#pragma unroll
    for (int k = 0; k < kHeld; ++k) all[k * kTeam + threadIdx.x] = parts[k];
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x) % kWarp; i < chunks; i += kWarp) sum += all[i];
    __syncthreads();
  }
  return lanes_sum(sum);
}
// x: this thread's chunks.
template <int kTeam, class T>
__device__ __forceinline__ RowStats row_stats(const Forward<T>& a, const Eight (&x)[kHeld]) {
  const int begin = static_cast<int>(threadIdx.x) % kTeam, chunks = static_cast<int>(a.cols) / 8;
  float parts[kHeld], squares[kHeld], rough = 0;
  if (a.centred) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) parts[k] = begin + k * kTeam < chunks ? chunk_sum(x[k]) : 0.0F;
    rough = mean_of(row_sum<kTeam>(parts, chunks), a.cols);
  }
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const RowSums s = begin + k * kTeam < chunks ? chunk_sums(x[k], rough) : RowSums{0, 0};
    parts[k] = s.rest;
    squares[k] = s.square;
  }
  const float rest = a.centred ? row_sum<kTeam>(parts, chunks) : 0.0F;
  return stats_of(rough, {rest, row_sum<kTeam>(squares, chunks)}, a.cols, a.eps, a.centred);
}

template <class T, int kTeam>
__global__ void __launch_bounds__(kThreads) norm_forward_kernel(Forward<T> a) {
  const std::int64_t row = team_row<kTeam>();
  if (row >= a.rows) return;
  const int begin = static_cast<int>(threadIdx.x) % kTeam * 8, cols = static_cast<int>(a.cols);
  const T* from = a.x + row * a.cols;
  Eight x[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    if (begin + k * 8 * kTeam < cols) x[k] = load8(from + begin + k * 8 * kTeam);
  }
  const RowStats s = row_stats<kTeam>(a, x);
  if (threadIdx.x % kTeam == 0) store_stats(a.stats, row, s, a.centred);
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int i = begin + k * 8 * kTeam;
    if (i >= cols) break;
    const Eight gain = a.gain.eight(i), bias = a.bias.eight(i);
#pragma unroll
    for (int e = 0; e < 8; ++e) x[k].x[e] = fmaf(normalised(x[k].x[e], s), gain.x[e], bias.x[e]);
    store8(a.y + row * a.cols + i, x[k]);
  }
}

// Rows of any length at any address, read again for each pass.
template <class T>
__global__ void __launch_bounds__(kThreads) norm_forward_any_kernel(Forward<T> a) {
  const std::int64_t row = blockIdx.x;
  const T* from = a.x + row * a.cols;
  float rough = 0;
  if (a.centred) {
    for (std::int64_t i = threadIdx.x; i < a.cols; i += kThreads) rough += to_float(from[i]);
    rough = mean_of(team_sum<kThreads>(rough), a.cols);
  }
  RowSums sums{0, 0};
  for (std::int64_t i = threadIdx.x; i < a.cols; i += kThreads) {
    const float d = to_float(from[i]) - rough;
    sums.rest += d;
    sums.square = fmaf(d, d, sums.square);
  }
  if (a.centred) sums.rest = team_sum<kThreads>(sums.rest);
  sums.square = team_sum<kThreads>(sums.square);
  const RowStats s = stats_of(rough, sums, a.cols, a.eps, a.centred);
  if (threadIdx.x == 0) store_stats(a.stats, row, s, a.centred);
  for (std::int64_t i = threadIdx.x; i < a.cols; i += kThreads) {
    const float xhat = normalised(to_float(from[i]), s);
    a.y[row * a.cols + i] = from_float<T>(fmaf(xhat, a.gain.one(i), a.bias.one(i)));
  }
}

template <class T>
struct Backward {
  T* dx;
  const T* dy;
  const T* x;
  const float* stats;
  ParamReader<T> gain;
  std::int64_t rows, cols;
  bool centred;
};
struct MeanRstd {
  float mean, rstd;
};
__device__ __forceinline__ MeanRstd saved_stats(const float* stats, std::int64_t row, bool centred) {
  if (centred) return {stats[2 * row], stats[2 * row + 1]};
  return {0.0F, stats[row]};
}
struct GradMeans {
  float g, gx;  // means of g = dy gain and of g xhat over the row
};
// each(f) calls f(g, xhat) for this thread's elements.
template <int kTeam, class T, class Each>
__device__ __forceinline__ GradMeans grad_means(const Backward<T>& a, const Each& each) {
  const float inverse = 1.0F / static_cast<float>(a.cols);
  float g_sum = 0, gx_sum = 0;
  each([&](float g, float xhat) {
    g_sum += g;
    gx_sum = fmaf(g, xhat, gx_sum);
  });
  const float g_mean = a.centred ? team_sum<kTeam>(g_sum) * inverse : 0.0F;
  return {g_mean, team_sum<kTeam>(gx_sum) * inverse};
}

template <class T, int kTeam>
__global__ void __launch_bounds__(kThreads) norm_backward_kernel(Backward<T> a) {
  const std::int64_t row = team_row<kTeam>();
  if (row >= a.rows) return;
  const int begin = static_cast<int>(threadIdx.x) % kTeam * 8, cols = static_cast<int>(a.cols);
  const MeanRstd s = saved_stats(a.stats, row, a.centred);
  Eight xhat[kHeld], g[kHeld];
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int i = begin + k * 8 * kTeam;
    if (i >= cols) break;
    xhat[k] = load8(a.x + row * a.cols + i);
    g[k] = load8(a.dy + row * a.cols + i);
    const Eight gain = a.gain.eight(i);
#pragma unroll
    for (int e = 0; e < 8; ++e) {
      xhat[k].x[e] = (xhat[k].x[e] - s.mean) * s.rstd;
      g[k].x[e] *= gain.x[e];
    }
  }
  const GradMeans mean = grad_means<kTeam>(a, [&](const auto& f) {
#pragma unroll
    for (int k = 0; k < kHeld; ++k) {
      if (begin + k * 8 * kTeam >= cols) break;
#pragma unroll
      for (int e = 0; e < 8; ++e) f(g[k].x[e], xhat[k].x[e]);
    }
  });
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    const int i = begin + k * 8 * kTeam;
    if (i >= cols) break;
#pragma unroll
    for (int e = 0; e < 8; ++e) g[k].x[e] = s.rstd * (g[k].x[e] - mean.g - xhat[k].x[e] * mean.gx);
    store8(a.dx + row * a.cols + i, g[k]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) norm_backward_any_kernel(Backward<T> a) {
  const std::int64_t row = blockIdx.x, at = row * a.cols;
  const MeanRstd s = saved_stats(a.stats, row, a.centred);
  const auto xhat = [&](std::int64_t i) { return (to_float(a.x[at + i]) - s.mean) * s.rstd; };
  const auto g = [&](std::int64_t i) { return to_float(a.dy[at + i]) * a.gain.one(i); };
  const GradMeans mean = grad_means<kThreads>(a, [&](const auto& f) {
    for (std::int64_t i = threadIdx.x; i < a.cols; i += kThreads) f(g(i), xhat(i));
  });
  for (std::int64_t i = threadIdx.x; i < a.cols; i += kThreads)
    a.dx[at + i] = from_float<T>(s.rstd * (g(i) - mean.g - xhat(i) * mean.gx));
}

// sum 0: dy xhat; sum 1: dy.
template <class T, int kSums>
struct ParamTerms {
  const T* dy;
  const T* x;
  const float* stats;
  std::int64_t cols;
  template <int kWidth>
  struct Own {
    ParamTerms t;
    std::int64_t col;
    __device__ void add(float (&sums)[kSums][kWidth], std::int64_t row) const {
      const MeanRstd s = saved_stats(t.stats, row, kSums == 2);
      const auto g = load_as<kWidth>(t.dy + row * t.cols + col),
                 x = load_as<kWidth>(t.x + row * t.cols + col);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        sums[0][e] = fmaf(g.x[e], (x.x[e] - s.mean) * s.rstd, sums[0][e]);
        if constexpr (kSums == 2) sums[1][e] += g.x[e];
      }
    }
  };
  template <int kWidth>
  __device__ Own<kWidth> at(std::int64_t, std::int64_t col) const {
    return {*this, col};
  }
};
template <int kSums>
struct AddParams {
  float* dgain;
  float* dbias;
  __device__ void operator()(std::int64_t, std::int64_t col, const float (&sums)[kSums]) const {
    dgain[col] += sums[0];
    if (kSums == 2 && dbias) dbias[col] += sums[kSums - 1];
  }
};
template <class T, int kSums>
void param_grad(std::string_view op, CudaStream stream, const TypedRowNormParamGrad& a) {
  const ColumnBlocks blocks{1, a.rows, a.cols};
  const ParamTerms<T, kSums> terms{static_cast<const T*>(a.dy), static_cast<const T*>(a.x), a.stats, a.cols};
  if (a.cols % 8 == 0 && aligned16({a.dy, a.x})) {
    column_partials<8, kSums>(op, stream, blocks, a.partial, terms);
  } else {
    column_partials<1, kSums>(op, stream, blocks, a.partial, terms);
  }
  finish_columns<kSums>(op, stream, {a.partial, 1, blocks.chunks(), a.cols},
                        AddParams<kSums>{a.dgain, a.dbias});
}

// Launches `by_warp`, `by_block` or `any`, as the rows' length and addresses allow.
template <class Args>
void launch_rows(std::string_view op, CudaStream stream, const Args& a, bool aligned, void (*by_warp)(Args),
                 void (*by_block)(Args), void (*any)(Args)) {
  if (a.rows == 0) return;
  constexpr std::int64_t kRows = kThreads / kWarp;
  const bool eights = aligned && a.cols % 8 == 0, warp = eights && a.cols <= kWarpCols;
  const auto kernel = warp ? by_warp : eights && a.cols <= kBlockCols ? by_block : any;
  const auto blocks = static_cast<unsigned>(warp ? (a.rows + kRows - 1) / kRows : a.rows);
  launch({.op = op, .grid = blocks, .block = kThreads, .stream = stream, .sizes = {a.rows, a.cols}}, kernel,
         a);
}

}  // namespace

void norm_rows_forward(std::string_view op, CudaStream stream, const TypedRowNorm& a) {
  with_float_type(op, a.type, [&]<class T>(T) {
    const Forward<T> args{static_cast<T*>(a.y),
                          a.stats,
                          static_cast<const T*>(a.x),
                          gain_of<T>(a.gain),
                          bias_of<T>(a.bias),
                          a.rows,
                          a.cols,
                          a.eps,
                          a.centred};
    launch_rows(op, stream, args, aligned16({a.y, a.x, a.gain.data, a.bias.data}),
                norm_forward_kernel<T, kWarp>, norm_forward_kernel<T, kThreads>, norm_forward_any_kernel<T>);
  });
}

void norm_rows_backward(std::string_view op, CudaStream stream, const TypedRowNormGrad& a) {
  with_float_type(op, a.type, [&]<class T>(T) {
    const Backward<T> args{static_cast<T*>(a.dx),
                           static_cast<const T*>(a.dy),
                           static_cast<const T*>(a.x),
                           a.stats,
                           gain_of<T>(a.gain),
                           a.rows,
                           a.cols,
                           a.centred};
    launch_rows(op, stream, args, aligned16({a.dx, a.dy, a.x, a.gain.data}), norm_backward_kernel<T, kWarp>,
                norm_backward_kernel<T, kThreads>, norm_backward_any_kernel<T>);
  });
}

void norm_rows_param_grad(std::string_view op, CudaStream stream, const TypedRowNormParamGrad& a) {
  with_float_type(op, a.type, [&]<class T>(T) {
    if (a.centred) {
      param_grad<T, 2>(op, stream, a);
    } else {
      param_grad<T, 1>(op, stream, a);
    }
  });
}

}  // namespace rankine::cuda
