// CUDA side of attention_backward: what is known of each row beforehand, then dk and dv by blocks of keys,
// then dq by blocks of queries. Scores are computed in both, so nothing is added across blocks.
#include "kernels/attention/attention_tile.cuh"
#include "kernels/attention/attention_view.cuh"

namespace rankine::cuda {
namespace {

template <class T>
struct OutputAndGradient {
  const T* o;
  const T* d_o;
  const float* lse;
};

// One warp per row of a head: delta = o · do, and where the row's keys are.
template <class T>
__global__ void __launch_bounds__(kThreads)
    row_facts_kernel(RowFacts* facts, OutputAndGradient<T> x, AttentionView v) {
  const std::int64_t rows = std::int64_t{v.samples} * v.heads * v.queries;
  const std::int64_t i = std::int64_t{blockIdx.x} * (kThreads / kWarp) + warp_id();
  if (i >= rows) return;
  const int lane = static_cast<int>(i / v.queries), row = static_cast<int>(i % v.queries);
  const std::int64_t at = v.q_offset(lane, row);
  float delta = 0;
  for (int d = lane_id(); d < v.width; d += kWarp)
    delta = fmaf(to_float(x.o[at + d]), to_float(x.d_o[at + d]), delta);
  delta = warp_sum(delta);
  const KeySpan seen = v.seen(lane / v.heads, row);
  const auto length = static_cast<unsigned>(max(0, seen.end - seen.begin));
  if (lane_id() == 0) facts[i] = {x.lse[i] * kLog2E, delta, seen.begin, length};
}

// One warp per tile of rows.
__global__ void __launch_bounds__(kThreads) tiles_kernel(int2* tiles, AttentionView v, int rows) {
  const int per_sample = (v.queries + rows - 1) / rows;
  const std::int64_t i = std::int64_t{blockIdx.x} * (kThreads / kWarp) + warp_id();
  if (i >= std::int64_t{v.samples} * per_sample) return;
  const KeySpan keys =
      rows_see(v, static_cast<int>(i / per_sample), static_cast<int>(i % per_sample) * rows, rows).any;
  if (lane_id() == 0) tiles[i] = make_int2(keys.begin, keys.end);
}

template <class T>
struct QueryTensors {
  T* dq;
  const T* d_o;
  const T* q;
  const T* k;
  const T* v;
  const RowFacts* facts;
};

template <class T_, int kWidth_>
struct QueryShape {
  using T = T_;
  static constexpr int kWidth = kWidth_, kWarps = 4, kThreads = 32 * kWarps, kQueries = 16 * kWarps;
  static constexpr int kKeys = kWidth <= 80 ? 64 : kWidth <= 128 ? 32 : 16;
  static constexpr bool kInRegisters = kWidth <= 160;  // q and do; else in shared memory
  using KeyTile = Tile<T, kKeys, kWidth>;
  using QueryTile = Tile<T, kQueries, kWidth>;
  static constexpr int kStage = 2 * KeyTile::kNumbers,
                       kQueryNumbers = kInRegisters ? 0 : 2 * QueryTile::kNumbers;
  static constexpr int kSharedBytes = 2 * (2 * kStage + kQueryNumbers);
  using Rows = std::conditional_t<kInRegisters, RegisterRows<kWidth>, SharedRows<QueryTile>>;
};

// Sixteen rows of q or do of this warp, wherever they are kept.
template <class S>
__device__ __forceinline__ typename S::Rows own_rows(const typename S::T* x, typename S::T* shared,
                                                     const AttentionView& v, int lane, int first) {
  const int row = first + 16 * warp_id() + lane_id() / 4, last = v.queries - 1;
  typename S::Rows rows;
  if constexpr (S::kInRegisters) {
    rows.load(x + v.q_offset(lane, min(row, last)), x + v.q_offset(lane, min(row + 8, last)), v.width, 0);
  } else {
    rows = {{shared}, 16 * warp_id()};
    rows.tile.template load<S::kThreads>(x + v.q_offset(lane, first), v.q_pitch(), v.width, 0,
                                         v.queries - first);
  }
  return rows;
}

// s becomes ds = p (dp - delta), zero where unseen.
template <int kFragments>
__device__ __forceinline__ void score_gradients(float (&s)[kFragments][4], const float (&dp)[kFragments][4],
                                                const RowFacts (&rows)[2], int first_key, float scale) {
#pragma unroll
  for (int n = 0; n < kFragments; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const RowFacts& row = rows[e / 2];
      const float p = exp2_approx(fmaf(s[n][e], scale, -row.lse));
      s[n][e] = row.sees(first_key + 8 * n + lane_id() % 4 * 2 + e % 2) ? p * (dp[n][e] - row.delta) : 0;
    }
}

// Keys and values as they come by: one stage is copied while the other is worked on.
template <class S>
struct KeyStages {
  typename S::T* shared;
  __device__ typename S::KeyTile keys(int stage) const { return {shared + stage * S::kStage}; }
  __device__ typename S::KeyTile values(int stage) const {
    return {shared + stage * S::kStage + S::KeyTile::kNumbers};
  }
  // Of a lane, as far as they fit.
  __device__ void load(int stage, const QueryTensors<typename S::T>& x, const AttentionView& v, int lane,
                       KeySpan span) const {
    if (span.begin < span.end) {
      const std::int64_t at = v.kv_offset(lane, span.begin);
      const int rows = span.end - span.begin;
      keys(stage).template load<S::kThreads>(x.k + at, v.kv_pitch(), v.width, 0, rows);
      values(stage).template load<S::kThreads>(x.v + at, v.kv_pitch(), v.width, 0, rows);
    }
    cp_async_commit();
  }
};

template <class S>
__global__ void __launch_bounds__(S::kThreads)
    queries_kernel(QueryTensors<typename S::T> x, AttentionView v) {
  using T = typename S::T;
  const int tiles = (v.queries + S::kQueries - 1) / S::kQueries, block = static_cast<int>(blockIdx.x);
  const int lane = block / tiles, sample = lane / v.heads;
  const int first = (tiles - 1 - block % tiles) * S::kQueries;
  const KeySpan all = rows_see(v, sample, first, S::kQueries).any;
  const KeySpan mine = rows_see(v, sample, min(first + 16 * warp_id(), v.queries - 1), 16).any;

  const KeyStages<S> stages{shared_memory<T>()};
  T* of_queries = stages.shared + 2 * S::kStage;
  const typename S::Rows q = own_rows<S>(x.q, of_queries, v, lane, first);
  const typename S::Rows d_o = own_rows<S>(x.d_o, of_queries + S::kQueryNumbers / 2, v, lane, first);
  RowFacts rows[2];
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = min(first + 16 * warp_id() + 8 * h + lane_id() / 4, v.queries - 1);
    rows[h] = x.facts[std::int64_t{lane} * v.queries + row];
  }
  float dq[S::kWidth / 8][4] = {};
  stages.load(0, x, v, lane, all);
  for (int key = all.begin, stage = 0; key < all.end; key += S::kKeys, stage ^= 1) {
    stages.load(stage ^ 1, x, v, lane, {key + S::kKeys, all.end});
    cp_async_wait<1>();
    __syncthreads();
    if (mine.begin < key + S::kKeys && mine.end > key) {
      float s[S::kKeys / 8][4] = {}, dp[S::kKeys / 8][4] = {};
      dots(s, q, stages.keys(stage));
      dots(dp, d_o, stages.values(stage));
      score_gradients(s, dp, rows, key, v.scale * kLog2E);
#pragma unroll
      for (int r = 0; r < S::kKeys; r += 16) {
        std::uint32_t a[4];
        as_left<T>(a, s + r / 8);
        mix(dq, a, stages.keys(stage), r);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    const int row = first + 16 * warp_id() + 8 * h + lane_id() / 4;
    if (row < v.queries) store_row(x.dq + v.q_offset(lane, row), dq, h, v.scale, v.width);
  }
}

template <class S>
void launch_queries(CudaStream stream, const AttentionBackwardArgs& a) {
  using T = typename S::T;
  const AttentionSize& size = a.size;
  const QueryTensors<T> x{static_cast<T*>(a.dq),      static_cast<const T*>(a.d_o),
                          static_cast<const T*>(a.q), static_cast<const T*>(a.k),
                          static_cast<const T*>(a.v), static_cast<const RowFacts*>(a.rows)};
  const std::int64_t blocks = tiles_of(size.queries, S::kQueries) * size.samples * size.heads;
  launch({.op = "attention_backward",
          .grid = grid_of("attention_backward", blocks),
          .block = S::kThreads,
          .stream = stream,
          .shared_bytes = S::kSharedBytes,
          .sizes = {size.queries, size.keys, size.heads, size.width}},
         queries_kernel<S>, x, AttentionView::of(size));
}

}  // namespace

void attention_row_facts(CudaStream stream, const AttentionBackwardArgs& a) {
  const AttentionSize& size = a.size;
  const AttentionView v = AttentionView::of(size);
  constexpr std::int64_t kRows = kThreads / kWarp;
  const auto warps = [&](std::int64_t n) {
    return Launch{.op = "attention_backward",
                  .grid = grid_of("attention_backward", tiles_of(n, kRows)),
                  .block = kThreads,
                  .stream = stream,
                  .sizes = {size.queries, size.keys, size.heads, size.width}};
  };
  with_float_type("attention_backward", a.dtype, [&](auto number) {
    using T = decltype(number);
    const OutputAndGradient<T> x{static_cast<const T*>(a.o), static_cast<const T*>(a.d_o), a.lse};
    launch(warps(size.samples * size.heads * size.queries), row_facts_kernel<T>,
           static_cast<RowFacts*>(a.rows), x, v);
  });
  if (!size.visible) return;
  launch(warps(size.samples * size.backward_tiles()), tiles_kernel, static_cast<int2*>(a.tiles), v,
         kBackwardRows);
}

void attention_backward_queries(CudaStream stream, const AttentionBackwardArgs& a) {
  with_half_type("attention_backward", a.dtype, [&](auto number) {
    with_head_class(a.size.width,
                    [&](auto width) { launch_queries<QueryShape<decltype(number), width()>>(stream, a); });
  });
}

void attention_backward(CudaStream stream, const AttentionBackwardArgs& a) {
  const AttentionSize& size = a.size;
  if (size.samples == 0) return;
  if (size.queries > 0) attention_row_facts(stream, a);
  const bool tensor_cores = on_tensor_cores(a.dtype, size.width, a.dq, a.dk, a.dv, a.d_o, a.q, a.k, a.v);
  if (!tensor_cores || size.width > kWidestHead) return attention_any_backward(stream, a);
  attention_backward_keys(stream, a);
  if (size.queries > 0) attention_backward_queries(stream, a);
}

}  // namespace rankine::cuda
