// Few queries over many keys on CUDA, as AttentionFew has it: a block takes one run of keys of one key head
// and up to kRows of the rows that read it, so keys and values are read once; runs are combined in order.
#include "kernels/attention/attention_view.cuh"
#include "kernels/common/intrinsics.cuh"

namespace rankine::cuda {
namespace {

constexpr int kBlock = 128, kWarps = kBlock / kWarp, kChunk = AttentionFew::kChunk;
constexpr int kAhead = 4;  // loads in flight per thread

template <class T>
struct FewTensors {
  T* o;
  float* lse;
  const T* q;
  const T* k;
  const T* v;
  float* partial;
};

// One run of keys. Threads stand in groups of `lanes` (a power of two) that read one key at a time, eight
// numbers each.
template <class T, int kRows>
struct Run {
  const AttentionView& v;
  int kv_lane, chunk, first_row, lanes;
  float* scores;  // kRows x kChunk
  float* sums;    // kWarps x kRows x width

  __device__ int rows() const { return min(kRows, v.queries * v.group() - first_row); }
  __device__ int lane(int r) const { return kv_lane * v.group() + (first_row + r) % v.group(); }
  __device__ int query(int r) const { return (first_row + r) / v.group(); }
  __device__ int groups() const { return kBlock / lanes; }
  __device__ int column() const { return static_cast<int>(threadIdx.x) % lanes * 8; }
  __device__ KeySpan seen(int r) const {
    const KeySpan s = v.seen(kv_lane / v.kv_heads, query(r));
    return {max(s.begin, chunk * kChunk), min(s.end, (chunk + 1) * kChunk)};
  }
  __device__ KeySpan seen_by_any() const {
    KeySpan any;
    for (int r = 0; r < rows(); ++r) {
      const KeySpan s = seen(r);
      if (s.begin < s.end) any = {min(any.begin, s.begin), max(any.end, s.end)};
    }
    return any;
  }
  __device__ float* part(const FewTensors<T>& x, int r) const {
    const std::int64_t row = std::int64_t{lane(r)} * v.queries + query(r);
    return x.partial + (row * ((v.keys + kChunk - 1) / kChunk) + chunk) * (v.width + 2);
  }

  // Calls use(key, its eight numbers, valid) for the keys of this thread's group, in order, whole warps
  // together.
  template <class Use>
  __device__ void for_keys(const T* tensor, KeySpan keys, const Use& use) const {
    const T* from = tensor + v.kv_offset(kv_lane * v.group(), 0) + column();
    for (int base = keys.begin; base < keys.end; base += kAhead * groups()) {
      Eight x[kAhead];
      int key = base + static_cast<int>(threadIdx.x) / lanes;
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        const int at = key + i * groups();
        x[i] = at < keys.end && column() < v.width ? load8(from + at * v.kv_pitch()) : Eight{};
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i, key += groups()) use(key, x[i], key < keys.end);
    }
  }

  __device__ void score(const FewTensors<T>& x, KeySpan keys) const {
    Eight q[kRows];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const bool valid = r < rows() && column() < v.width;
      q[r] = valid ? load8(x.q + v.q_offset(lane(r), query(r)) + column()) : Eight{};
    }
    for_keys(x.k, keys, [&](int key, const Eight& k, bool valid) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float s = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) s = fmaf(q[r].x[i], k.x[i], s);
        for (int offset = lanes / 2; offset > 0; offset /= 2) s += __shfl_xor_sync(kAllLanes, s, offset);
        if (valid && column() == 0) scores[r * kChunk + key - chunk * kChunk] = s * v.scale * kLog2E;
      }
    });
  }
  // Scores of each row, one warp's at a time, become 2^(score - maximum).
  __device__ void soften(const FewTensors<T>& x, KeySpan keys) const {
    const int id = static_cast<int>(threadIdx.x) % kWarp;
    for (int r = static_cast<int>(threadIdx.x) / kWarp; r < rows(); r += kWarps) {
      const KeySpan mine = seen(r);
      float top = -INFINITY, sum = 0;
      for (int key = keys.begin + id; key < keys.end; key += kWarp) {
        float& s = scores[r * kChunk + key - chunk * kChunk];
        if (key < mine.begin || key >= mine.end) s = -INFINITY;
        top = fmaxf(top, s);
      }
      top = warp_max(top);
      const float shift = top == -INFINITY ? 0 : top;
      for (int key = keys.begin + id; key < keys.end; key += kWarp) {
        float& s = scores[r * kChunk + key - chunk * kChunk];
        s = exp2_approx(s - shift);
        sum += s;
      }
      sum = warp_sum(sum);
      if (id == 0) part(x, r)[v.width] = top, part(x, r)[v.width + 1] = sum;
    }
  }
  __device__ void gather(const FewTensors<T>& x, KeySpan keys) const {
    Eight sum[kRows] = {};
    for_keys(x.v, keys, [&](int key, const Eight& value, bool valid) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const float p = valid && r < rows() ? scores[r * kChunk + key - chunk * kChunk] : 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) sum[r].x[i] = fmaf(p, value.x[i], sum[r].x[i]);
      }
    });
    const int warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
    for (int r = 0; r < kRows; ++r)
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        float s = sum[r].x[i];
        for (int offset = lanes; offset < kWarp; offset *= 2) s += __shfl_xor_sync(kAllLanes, s, offset);
        const bool mine = static_cast<int>(threadIdx.x) % kWarp < lanes && column() < v.width;
        if (mine) sums[(warp * kRows + r) * v.width + column() + i] = s;
      }
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < rows() * v.width; i += kBlock) {
      float s = 0;
      for (int w = 0; w < kWarps; ++w) s += sums[w * kRows * v.width + i];
      part(x, i / v.width)[i % v.width] = s;
    }
  }
};

template <class T, int kRows>
__global__ void __launch_bounds__(kBlock) few_kernel(FewTensors<T> x, AttentionView v, int lanes) {
  const int chunks = (v.keys + kChunk - 1) / kChunk, block = static_cast<int>(blockIdx.x);
  auto* shared = shared_memory<float>();
  const Run<T, kRows> run{v,     block / chunks, block % chunks,         static_cast<int>(blockIdx.y) * kRows,
                          lanes, shared,         shared + kRows * kChunk};
  const KeySpan keys = run.seen_by_any();
  if (keys.begin >= keys.end) {
    const int r = static_cast<int>(threadIdx.x);
    if (r < run.rows()) run.part(x, r)[v.width] = -INFINITY, run.part(x, r)[v.width + 1] = 0;
    return;
  }
  run.score(x, keys);
  __syncthreads();
  run.soften(x, keys);
  __syncthreads();
  run.gather(x, keys);
}

// One warp per row of a head: its runs, brought to their common maximum, in order.
template <class T>
__global__ void __launch_bounds__(kBlock) combine_kernel(FewTensors<T> x, AttentionView v) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kWarps + static_cast<int>(threadIdx.x) / kWarp;
  if (row >= std::int64_t{v.samples} * v.heads * v.queries) return;
  const int chunks = (v.keys + kChunk - 1) / kChunk, each = v.width + 2;
  const float* parts = x.partial + row * chunks * each;
  float top = -INFINITY, sum = 0;
  for (int c = 0; c < chunks; ++c) top = fmaxf(top, parts[c * each + v.width]);
  const float shift = top == -INFINITY ? 0 : top;
  for (int c = 0; c < chunks; ++c)
    sum = fmaf(exp2_approx(parts[c * each + v.width] - shift), parts[c * each + v.width + 1], sum);
  T* o = x.o + v.q_offset(static_cast<int>(row / v.queries), static_cast<int>(row % v.queries));
  for (int d = static_cast<int>(threadIdx.x) % kWarp; d < v.width; d += kWarp) {
    float mixed = 0;
    for (int c = 0; c < chunks; ++c) {
      const float* part = parts + c * each;
      if (part[v.width + 1] == 0) continue;  // nothing was seen, nor written
      mixed = fmaf(exp2_approx(part[v.width] - shift), part[d], mixed);
    }
    o[d] = from_float<T>(sum == 0 ? 0 : mixed / sum);
  }
  if (threadIdx.x % kWarp == 0) x.lse[row] = kLn2 * shift + logf(sum);
}

template <class T, int kRows>
void launch_few(CudaStream stream, const AttentionForwardArgs& a) {
  const AttentionSize& size = a.size;
  const AttentionView v = AttentionView::of(size);
  const FewTensors<T> x{static_cast<T*>(a.o),       a.lse,
                        static_cast<const T*>(a.q), static_cast<const T*>(a.k),
                        static_cast<const T*>(a.v), a.partial};
  int lanes = 1;
  while (8 * lanes < size.width) lanes *= 2;
  const std::int64_t rows = size.queries * size.group();
  const auto floats = static_cast<std::size_t>(kRows * (kChunk + kWarps * size.width));
  launch(
      {.op = "attention_forward",
       .grid = dim3(grid_of("attention_forward", size.samples * size.kv_heads * AttentionFew::chunks(size)),
                    static_cast<unsigned>(tiles_of(rows, kRows))),
       .block = kBlock,
       .stream = stream,
       .shared_bytes = floats * sizeof(float),
       .sizes = {size.queries, size.keys, size.heads, size.width}},
      few_kernel<T, kRows>, x, v, lanes);
  const std::int64_t all = size.samples * size.heads * size.queries;
  launch({.op = "attention_forward",
          .grid = grid_of("attention_forward", tiles_of(all, kWarps)),
          .block = kBlock,
          .stream = stream,
          .sizes = {size.queries, size.keys, size.heads, size.width}},
         combine_kernel<T>, x, v);
}

}  // namespace

void attention_few(CudaStream stream, const AttentionForwardArgs& a) {
  with_half_type("attention_forward", a.dtype, [&](auto number) {
    using T = decltype(number);
    if (a.size.queries * a.size.group() == 1) return launch_few<T, 1>(stream, a);
    launch_few<T, 8>(stream, a);
  });
}

}  // namespace rankine::cuda
