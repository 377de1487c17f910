// Attention on CUDA for every type and head size, without tensor cores: a warp owns one row, and works on 32
// partners at a time. For tiny models and fp32; the others take the kernels beside this file.
#include "kernels/attention/attention_view.cuh"
#include "kernels/common/intrinsics.cuh"

namespace rankine::cuda {
namespace {

constexpr std::int64_t kMostNumbers = 96 * 1024 / sizeof(float);  // of sums in shared memory

template <class T>
struct AnyTensors {
  T* o;
  float* lse;
  const T* q;
  const T* k;
  const T* v;
};

template <class T>
__device__ float dot(const T* a, const T* b, int n) {
  float sum = 0;
  for (int d = 0; d < n; ++d) sum = fmaf(to_float(a[d]), to_float(b[d]), sum);
  return sum;
}

// sums[d] = keep * sums[d] + sum over 32 lanes of weight * row[d], for the first `rows` lanes, whose rows are
// `pitch` apart; a lane owns every 32nd d.
template <class T>
__device__ void add_rows(float* sums, float keep, float weight, const T* first, std::int64_t pitch, int rows,
                         int width) {
  const int id = static_cast<int>(threadIdx.x);
  for (int base = 0; base < width; base += kWarp) {
    const int d = base + id;
    float sum = 0;
    for (int j = 0; j < rows; ++j) {
      const float w = __shfl_sync(kAllLanes, weight, j);
      if (d < width) sum = fmaf(w, to_float(first[j * pitch + d]), sum);
    }
    if (d < width) sums[d] = keep * sums[d] + sum;
  }
}
// A lane clears and stores what it adds to.
__device__ void clear(float* sums, int width) {
  for (int d = static_cast<int>(threadIdx.x); d < width; d += kWarp) sums[d] = 0;
}
template <class T>
__device__ void store(T* to, const float* sums, float scale, int width) {
  for (int d = static_cast<int>(threadIdx.x); d < width; d += kWarp) to[d] = from_float<T>(scale * sums[d]);
}

template <class T>
__global__ void __launch_bounds__(kWarp) any_forward_kernel(AnyTensors<T> x, AttentionView v) {
  const int lane = static_cast<int>(blockIdx.x) / v.queries, row = static_cast<int>(blockIdx.x) % v.queries;
  const int id = static_cast<int>(threadIdx.x);
  const KeySpan seen = v.seen(lane / v.heads, row);
  const T* q = x.q + v.q_offset(lane, row);
  auto* o = shared_memory<float>();
  clear(o, v.width);
  float top = -INFINITY, sum = 0;
  for (int key = seen.begin; key < seen.end; key += kWarp) {
    const std::int64_t at = v.kv_offset(lane, key);
    const int rows = min(kWarp, seen.end - key);
    const float s = id < rows ? v.scale * kLog2E * dot(q, x.k + at + id * v.kv_pitch(), v.width) : -INFINITY;
    const float before = top;
    top = fmaxf(top, warp_max(s));
    const float shift = top == -INFINITY ? 0 : top;
    const float keep = exp2_approx(before - shift), p = exp2_approx(s - shift);
    sum = keep * sum + warp_sum(p);
    add_rows(o, keep, p, x.v + at, v.kv_pitch(), rows, v.width);
  }
  store(x.o + v.q_offset(lane, row), o, sum == 0 ? 0 : 1 / sum, v.width);
  const float shift = top == -INFINITY ? 0 : top;
  if (id == 0) x.lse[blockIdx.x] = kLn2 * shift + logf(sum);
}

template <class T>
struct AnyGradients {
  T* dq;
  T* dk;
  T* dv;
  const T* d_o;
  const T* q;
  const T* k;
  const T* v;
  const RowFacts* facts;
};
// p of a row and a key, and the gradient of its score.
struct PairGradient {
  float p, ds;
};
template <class T>
__device__ PairGradient pair_gradient(const AnyGradients<T>& x, const AttentionView& v, std::int64_t q_at,
                                      std::int64_t k_at, const RowFacts& row) {
  const float s = v.scale * kLog2E * dot(x.q + q_at, x.k + k_at, v.width);
  const float p = exp2_approx(s - row.lse);
  return {p, p * (dot(x.d_o + q_at, x.v + k_at, v.width) - row.delta)};
}

template <class T>
__global__ void __launch_bounds__(kWarp) any_queries_kernel(AnyGradients<T> x, AttentionView v) {
  const int lane = static_cast<int>(blockIdx.x) / v.queries, row = static_cast<int>(blockIdx.x) % v.queries;
  const int id = static_cast<int>(threadIdx.x);
  const RowFacts facts = x.facts[blockIdx.x];
  const std::int64_t q_at = v.q_offset(lane, row);
  auto* dq = shared_memory<float>();
  clear(dq, v.width);
  for (int done = 0; done < static_cast<int>(facts.length); done += kWarp) {
    const std::int64_t at = v.kv_offset(lane, facts.begin + done);
    const int rows = min(kWarp, static_cast<int>(facts.length) - done);
    const float ds = id < rows ? pair_gradient(x, v, q_at, at + id * v.kv_pitch(), facts).ds : 0;
    add_rows(dq, 1, ds, x.k + at, v.kv_pitch(), rows, v.width);
  }
  store(x.dq + q_at, dq, v.scale, v.width);
}

template <class T>
__global__ void __launch_bounds__(kWarp) any_keys_kernel(AnyGradients<T> x, AttentionView v) {
  const int kv_lane = static_cast<int>(blockIdx.x) / v.keys, key = static_cast<int>(blockIdx.x) % v.keys;
  const int id = static_cast<int>(threadIdx.x);
  const std::int64_t k_at = v.kv_offset(kv_lane * v.group(), key);
  auto* dk = shared_memory<float>();
  float* dv = dk + v.width;
  clear(dk, v.width);
  clear(dv, v.width);
  for (int lane = kv_lane * v.group(); lane < (kv_lane + 1) * v.group(); ++lane) {
    for (int first = 0; first < v.queries; first += kWarp) {
      const int rows = min(kWarp, v.queries - first);
      const std::int64_t at = v.q_offset(lane, first);
      const RowFacts* facts = x.facts + std::int64_t{lane} * v.queries + first + id;
      const bool sees = id < rows && facts->sees(key);
      if (__ballot_sync(kAllLanes, sees) == 0) continue;
      PairGradient g{0, 0};
      if (sees) g = pair_gradient(x, v, at + id * v.q_pitch(), k_at, *facts);
      add_rows(dv, 1, g.p, x.d_o + at, v.q_pitch(), rows, v.width);
      add_rows(dk, 1, g.ds, x.q + at, v.q_pitch(), rows, v.width);
    }
  }
  store(x.dk + k_at, dk, v.scale, v.width);
  store(x.dv + k_at, dv, 1, v.width);
}

// A warp per row, with room for `numbers` fp32 sums.
Launch warps(std::string_view op, CudaStream stream, const AttentionSize& s, std::int64_t rows,
             std::int64_t numbers) {
  require<ShapeError>(numbers <= kMostNumbers, op, ": heads of ", s.width, " are too wide for a block");
  return {.op = op,
          .grid = grid_of(op, rows),
          .block = kWarp,
          .stream = stream,
          .shared_bytes = static_cast<std::size_t>(numbers) * sizeof(float),
          .sizes = {s.queries, s.keys, s.heads, s.width}};
}

}  // namespace

void attention_any_forward(CudaStream stream, const AttentionForwardArgs& a) {
  const AttentionSize& s = a.size;
  with_float_type("attention_forward", a.dtype, [&](auto number) {
    using T = decltype(number);
    const AnyTensors<T> x{static_cast<T*>(a.o), a.lse, static_cast<const T*>(a.q), static_cast<const T*>(a.k),
                          static_cast<const T*>(a.v)};
    launch(warps("attention_forward", stream, s, s.samples * s.heads * s.queries, s.width),
           any_forward_kernel<T>, x, AttentionView::of(s));
  });
}

void attention_any_backward(CudaStream stream, const AttentionBackwardArgs& a) {
  const AttentionSize& s = a.size;
  constexpr std::string_view kName = "attention_backward";
  with_float_type(kName, a.dtype, [&](auto number) {
    using T = decltype(number);
    const AnyGradients<T> x{static_cast<T*>(a.dq),      static_cast<T*>(a.dk),
                            static_cast<T*>(a.dv),      static_cast<const T*>(a.d_o),
                            static_cast<const T*>(a.q), static_cast<const T*>(a.k),
                            static_cast<const T*>(a.v), static_cast<const RowFacts*>(a.rows)};
    const AttentionView v = AttentionView::of(s);
    launch(warps(kName, stream, s, s.samples * s.kv_heads * s.keys, 2 * s.width), any_keys_kernel<T>, x, v);
    if (s.queries == 0) return;
    launch(warps(kName, stream, s, s.samples * s.heads * s.queries, s.width), any_queries_kernel<T>, x, v);
  });
}

}  // namespace rankine::cuda
