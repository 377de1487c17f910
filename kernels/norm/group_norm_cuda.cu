// CUDA side of the group norms. A thread keeps its channels and walks over pixels, so what belongs to a
// channel stays in registers; pixels are cut into chunks that fill the card even for one sample.
#include "kernels/activation/curves.cuh"
#include "kernels/common/column_sums.cuh"
#include "kernels/common/pointwise.cuh"
#include "kernels/norm/norm_param.cuh"

namespace rankine::cuda {
namespace {

struct Moments {  // of some numbers: how many, their mean, the sum of (x - mean)^2
  float count, mean, square;
};
__device__ __forceinline__ Moments merged(const Moments& a, const Moments& b) {
  const float count = a.count + b.count;
  if (count == 0) return a;
  const float d = b.mean - a.mean, share = b.count / count;
  return {count, a.mean + d * share, a.square + b.square + d * d * a.count * share};
}

// Planes of (samples, chunks, channels): mean and sum of squares of a chunk's pixels. Sums are taken about
// the thread's first pixel: a mean far above the deviation does not cancel.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads) group_moments_kernel(float* partial, const T* x, ColumnTile t) {
  const ColumnTask task = column_task<kWidth>(t);
  float* shared = shared_memory<float>();  // mean and square: (2, tall, lanes * kWidth)
  const int width = t.lanes * kWidth;
  if (task.first < task.end) {
    const T* at = x + (task.sample * t.rows + task.first) * t.cols + task.col;
    const auto shift = load_as<kWidth>(at),
               origin = load_as<kWidth>(x + task.sample * t.rows * t.cols + task.col);
    float sum[kWidth] = {}, square[kWidth] = {};
    for (std::int64_t r = task.first + t.tall; r < task.end; r += t.tall) {
      at += t.tall * t.cols;
      const auto v = load_as<kWidth>(at);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        const float d = v.x[e] - shift.x[e];
        sum[e] += d;
        square[e] = fmaf(d, d, square[e]);
      }
    }
    const float inverse = 1.0F / static_cast<float>((task.end - task.first + t.tall - 1) / t.tall);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const int i = task.row * width + task.lane * kWidth + e;
      shared[i] = (shift.x[e] - origin.x[e]) + sum[e] * inverse;
      shared[t.tall * width + i] = fmaxf(0.0F, square[e] - sum[e] * sum[e] * inverse);
    }
  }
  __syncthreads();
  const std::int64_t first = std::int64_t{blockIdx.y} * width, plane = std::int64_t{gridDim.x} * t.cols;
  const auto rows = static_cast<int>(min(t.height, t.rows - task.chunk * t.height));
  for (int col = static_cast<int>(threadIdx.x); col < width && first + col < t.cols; col += kThreads) {
    Moments m{};
    for (int r = 0; r < t.tall && r < rows; ++r) {
      const int i = r * width + col;
      m = merged(
          m, {static_cast<float>((rows - r + t.tall - 1) / t.tall), shared[i], shared[t.tall * width + i]});
    }
    partial[blockIdx.x * t.cols + first + col] = m.mean;
    partial[plane + blockIdx.x * t.cols + first + col] = m.square;
  }
}

__device__ __forceinline__ double block_sum(double x, double* scratch) {
  scratch[threadIdx.x] = x;
  for (int n = kThreads / 2; n > 0; n /= 2) {
    __syncthreads();
    if (static_cast<int>(threadIdx.x) < n) scratch[threadIdx.x] += scratch[threadIdx.x + n];
  }
  __syncthreads();
  const double sum = scratch[0];
  __syncthreads();
  return sum;
}

struct GroupSums {
  const float* partial;  // two planes
  ColumnTile tile;
  std::int64_t samples;
  int width;  // channels of a group; with 1024 chunks at most, entries fit an int
  __device__ int entries() const { return static_cast<int>(tile.chunks) * width; }
  __device__ std::int64_t channel(int i) const { return std::int64_t{blockIdx.x} * width + i % width; }
  __device__ std::int64_t at(int i) const {
    return (blockIdx.y * tile.chunks + i / width) * tile.cols + channel(i);
  }
  __device__ std::int64_t plane() const { return samples * tile.chunks * tile.cols; }
  __device__ double elements() const { return double(tile.rows) * double(width); }
};

// stats, and what the fp32 mean lacks. One block per (group, sample); a handful of numbers each, in double.
template <class T>
__global__ void __launch_bounds__(kThreads)
    group_stats_kernel(float* stats, float* rest, GroupSums s, const T* x, float eps) {
  __shared__ double scratch[kThreads];
  const auto pixels = [&](int i) {
    return double(min(s.tile.height, s.tile.rows - i / s.width * s.tile.height));
  };
  const T* origin = x + blockIdx.y * s.tile.rows * s.tile.cols;
  const auto mean_of = [&](int i) {
    return double(to_float(origin[s.channel(i)])) + double(s.partial[s.at(i)]);
  };
  double sum = 0, square = 0;
  const auto first = static_cast<int>(threadIdx.x);
  for (int i = first; i < s.entries(); i += kThreads) sum += pixels(i) * mean_of(i);
  const double mean = block_sum(sum, scratch) / s.elements();
  for (int i = first; i < s.entries(); i += kThreads) {
    const double d = mean_of(i) - mean;
    square += double(s.partial[s.plane() + s.at(i)]) + pixels(i) * d * d;
  }
  const double variance = block_sum(square, scratch) / s.elements();
  if (threadIdx.x != 0) return;
  const std::int64_t group = blockIdx.y * gridDim.x + blockIdx.x;
  const auto stored = static_cast<float>(mean);
  stats[2 * group] = stored;
  stats[2 * group + 1] = static_cast<float>(1 / sqrt(variance + double(eps)));
  rest[group] = static_cast<float>(mean - double(stored));
}

// What the kernels of one map share: where the channels' factors come from.
template <class T>
struct Channels {
  const float* stats;  // (samples, groups, 2)
  ParamReader<T> gain, bias;
  std::int64_t groups, width;
};
// h = u a + b with u = x - mean: the affine map of one sample's channels.
template <int kWidth>
struct Affine {
  float mean[kWidth], a[kWidth], b[kWidth], rstd[kWidth];
};
template <int kWidth, class T>
__device__ __forceinline__ Affine<kWidth> affine_of(const Channels<T>& c, std::int64_t sample,
                                                    std::int64_t col) {
  Affine<kWidth> f;
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    const std::int64_t group = sample * c.groups + static_cast<int>(col + e) / static_cast<int>(c.width);
    f.mean[e] = c.stats[2 * group];
    f.rstd[e] = c.stats[2 * group + 1];
    f.a[e] = f.rstd[e] * c.gain.one(col + e);
    f.b[e] = c.bias.one(col + e);
  }
  return f;
}

template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads)
    group_apply_kernel(T* y, const T* x, ColumnTile t, Channels<T> c, const float* rest, bool then_silu) {
  const ColumnTask task = column_task<kWidth>(t);
  if (task.first >= task.end) return;
  Affine<kWidth> f = affine_of<kWidth>(c, task.sample, task.col);
#pragma unroll
  for (int e = 0; e < kWidth; ++e)
    f.b[e] -=
        rest[task.sample * c.groups + static_cast<int>(task.col + e) / static_cast<int>(c.width)] * f.a[e];
  for (std::int64_t r = task.first; r < task.end; r += t.tall) {
    const std::int64_t at = (task.sample * t.rows + r) * t.cols + task.col;
    auto v = load_as<kWidth>(x + at);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float h = fmaf(v.x[e] - f.mean[e], f.a[e], f.b[e]);
      v.x[e] = then_silu ? Silu::value(h) : h;
    }
    store_as(y + at, v);
  }
}

// The gradient at the affine map's output: dy, times the slope of SiLU where there is one.
__device__ __forceinline__ float inner_grad(float dy, float h, bool then_silu) {
  return then_silu ? dy * Silu::both(h).slope : dy;
}

// sum 0: dh; sum 1: dh xhat.
template <class T>
struct GradTerms {
  const T* dy;
  const T* x;
  std::int64_t rows, cols;
  Channels<T> c;
  bool then_silu;
  template <int kWidth>
  struct Own {
    const T* dy;
    const T* x;
    std::int64_t cols;
    Affine<kWidth> f;
    bool then_silu;
    __device__ void add(float (&sums)[2][kWidth], std::int64_t row) const {
      const auto g = load_as<kWidth>(dy + row * cols), v = load_as<kWidth>(x + row * cols);
#pragma unroll
      for (int e = 0; e < kWidth; ++e) {
        const float u = v.x[e] - f.mean[e];
        const float dh = inner_grad(g.x[e], fmaf(u, f.a[e], f.b[e]), then_silu);
        sums[0][e] += dh;
        sums[1][e] = fmaf(dh, u * f.rstd[e], sums[1][e]);
      }
    }
  };
  template <int kWidth>
  __device__ Own<kWidth> at(std::int64_t sample, std::int64_t col) const {
    const std::int64_t first = sample * rows * cols + col;
    return {dy + first, x + first, cols, affine_of<kWidth>(c, sample, col), then_silu};
  }
};

// means (samples, groups, 2) = rstd mean(g), rstd^2 mean(g xhat) over the group, g = dh gain.
template <class T>
__global__ void __launch_bounds__(kThreads)
    group_grad_means_kernel(float* means, GroupSums s, const float* stats, ParamReader<T> gain) {
  __shared__ double scratch[kThreads];
  double g = 0, gx = 0;
  for (int i = static_cast<int>(threadIdx.x); i < s.entries(); i += kThreads) {
    const double factor = gain.one(s.channel(i));
    g += factor * double(s.partial[s.at(i)]);
    gx += factor * double(s.partial[s.plane() + s.at(i)]);
  }
  g = block_sum(g, scratch) / s.elements();
  gx = block_sum(gx, scratch) / s.elements();
  if (threadIdx.x != 0) return;
  const std::int64_t group = blockIdx.y * gridDim.x + blockIdx.x;
  const double rstd = stats[2 * group + 1];
  means[2 * group] = static_cast<float>(rstd * g);
  means[2 * group + 1] = static_cast<float>(rstd * rstd * gx);
}

template <class T>
struct GradApply {
  T* dx;
  const T* dy;
  const T* x;
  Channels<T> c;
  const float* means;
  bool then_silu;
};
// dx = a dh - p - q u
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 2) group_grad_kernel(GradApply<T> g, ColumnTile t) {
  const ColumnTask task = column_task<kWidth>(t);
  if (task.first >= task.end) return;
  const Affine<kWidth> f = affine_of<kWidth>(g.c, task.sample, task.col);
  float p[kWidth], q[kWidth];
#pragma unroll
  for (int e = 0; e < kWidth; ++e) {
    const std::int64_t group =
        task.sample * g.c.groups + static_cast<int>(task.col + e) / static_cast<int>(g.c.width);
    p[e] = g.means[2 * group];
    q[e] = g.means[2 * group + 1];
  }
  for (std::int64_t r = task.first; r < task.end; r += t.tall) {
    const std::int64_t at = (task.sample * t.rows + r) * t.cols + task.col;
    auto d = load_as<kWidth>(g.dy + at);
    const auto v = load_as<kWidth>(g.x + at);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) {
      const float u = v.x[e] - f.mean[e];
      const float dh = inner_grad(d.x[e], fmaf(u, f.a[e], f.b[e]), g.then_silu);
      d.x[e] = fmaf(f.a[e], dh, -fmaf(q[e], u, p[e]));
    }
    store_as(g.dx + at, d);
  }
}

struct AddParams {
  float* dgain;
  float* dbias;
  __device__ void operator()(std::int64_t, std::int64_t col, const float (&sums)[2]) const {
    dgain[col] += sums[1];
    dbias[col] += sums[0];
  }
};

// The launches, for one width of load.
template <class T, int kWidth>
struct GroupMap {
  std::string_view op;
  CudaStream stream;
  GroupNormSize size;
  ColumnBlocks blocks = group_norm_blocks(size);
  ColumnTile tile = column_tile<kWidth>(blocks);
  bool empty = size.samples * size.space == 0;

  Launch columns(std::size_t shared = 0) const {
    return {.op = op,
            .grid = column_grid<kWidth>(blocks),
            .block = kThreads,
            .stream = stream,
            .shared_bytes = shared,
            .sizes = {size.samples, size.space, size.channels, size.groups}};
  }
  Launch groups() const {
    return {.op = op,
            .grid = dim3(static_cast<unsigned>(size.groups), static_cast<unsigned>(size.samples)),
            .block = kThreads,
            .stream = stream,
            .sizes = {size.samples, size.space, size.channels, size.groups}};
  }
  Channels<T> channels(const float* stats, const NormParam& gain, const NormParam& bias) const {
    return {stats, gain_of<T>(gain), bias_of<T>(bias), size.groups, size.per_group()};
  }
  GroupSums sums(const float* partial) const {
    return {partial, tile, size.samples, static_cast<int>(size.per_group())};
  }

  void forward(const TypedGroupNorm& a) const {
    if (empty) return;
    const auto* x = static_cast<const T*>(a.x);
    float* rest = a.scratch + 2 * blocks.partial();
    const std::size_t shared = sizeof(float) * 2 * kWidth * static_cast<std::size_t>(tile.lanes * tile.tall);
    launch(columns(shared), group_moments_kernel<T, kWidth>, a.scratch, x, tile);
    launch(groups(), group_stats_kernel<T>, a.stats, rest, sums(a.scratch), x, a.eps);
    launch(columns(), group_apply_kernel<T, kWidth>, static_cast<T*>(a.y), x, tile,
           channels(a.stats, a.gain, a.bias), rest, a.then == NormThen::silu);
  }
  void sum_grads(const TypedGroupNormGrad& a) const {
    const GradTerms<T> terms{
        static_cast<const T*>(a.dy),       static_cast<const T*>(a.x), size.space, size.channels,
        channels(a.stats, a.gain, a.bias), a.then == NormThen::silu};
    column_partials<kWidth, 2>(op, stream, blocks, a.scratch, terms);
  }
  void backward(const TypedGroupNormGrad& a) const {
    if (empty) return;
    float* means = a.scratch + 2 * blocks.partial();
    sum_grads(a);
    launch(groups(), group_grad_means_kernel<T>, means, sums(a.scratch), a.stats, gain_of<T>(a.gain));
    launch(columns(), group_grad_kernel<T, kWidth>,
           GradApply<T>{static_cast<T*>(a.dx), static_cast<const T*>(a.dy), static_cast<const T*>(a.x),
                        channels(a.stats, a.gain, a.bias), means, a.then == NormThen::silu},
           tile);
  }
  void param_grad(const TypedGroupNormGrad& a) const {
    if (empty) return;
    sum_grads(a);
    finish_columns<2>(op, stream, {a.scratch, 1, size.samples * blocks.chunks(), size.channels},
                      AddParams{a.dgain, a.dbias});
  }
};
// f(GroupMap<T, 8>) or f(GroupMap<T, 1>), as channels and addresses allow.
template <class F>
void with_map(std::string_view op, CudaStream stream, DType type, const GroupNormSize& size, bool aligned,
              const F& f) {
  with_float_type(op, type, [&]<class T>(T) {
    if (aligned && size.channels % 8 == 0) {
      f(GroupMap<T, 8>{op, stream, size});
    } else {
      f(GroupMap<T, 1>{op, stream, size});
    }
  });
}

}  // namespace

void group_norm_forward(CudaStream stream, const TypedGroupNorm& a) {
  with_map("group_norm_forward", stream, a.type, a.size, aligned16({a.y, a.x}),
           [&](const auto& map) { map.forward(a); });
}
void group_norm_backward(CudaStream stream, const TypedGroupNormGrad& a) {
  with_map("group_norm_backward", stream, a.type, a.size, aligned16({a.dx, a.dy, a.x}),
           [&](const auto& map) { map.backward(a); });
}
void group_norm_param_grad(CudaStream stream, const TypedGroupNormGrad& a) {
  with_map("group_norm_param_grad", stream, a.type, a.size, aligned16({a.dy, a.x}),
           [&](const auto& map) { map.param_grad(a); });
}

}  // namespace rankine::cuda
