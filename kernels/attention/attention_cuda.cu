// CUDA side of attention_forward: a block owns a tile of queries of one head, a warp 16 or 32 of its rows
// with their sums in registers; keys and values come by in tiles, one of them copied while the other is
// worked on.
#include "kernels/attention/attention_tile.cuh"
#include "kernels/attention/attention_view.cuh"

namespace rankine::cuda {
namespace {

template <class T>
struct ForwardTensors {
  T* o;
  float* lse;
  const T* q;
  const T* k;
  const T* v;
};

template <class T_, int kWidth_>
struct ForwardShape {
  using T = T_;
  static constexpr int kWidth = kWidth_, kWarps = kWidth > 256 ? 8 : 4, kThreads = 32 * kWarps;
  // Where a row's sums do not fit in a warp, two share it: both take all of its scores, and half the columns.
  static constexpr int kSplits = kWidth > 256 ? 2 : 1, kColumns = kWidth / kSplits;
  static constexpr int kSets = kWidth <= 64 ? 2 : 1;  // of 16 rows per warp
  static constexpr int kRows = 16 * kSets, kQueries = kRows * kWarps / kSplits;
  static constexpr int kKeys = kWidth <= 160 ? 64 : kWidth <= 256 ? 32 : 16;
  static constexpr bool kInRegisters = kWidth <= 160;  // q; else in shared memory
  using KeyTile = Tile<T, kKeys, kWidth>;
  using QueryTile = Tile<T, kQueries, kWidth>;
  using Rows = std::conditional_t<kInRegisters, RegisterRows<kWidth>, SharedRows<QueryTile>>;
  static constexpr int kSharedBytes = 2 * KeyTile::kBytes + (kInRegisters ? 0 : QueryTile::kBytes);
};

// The rows of one warp: thread (g, t) works on rows g and g + 8 of each set.
template <class S>
struct WarpRows {
  using T = typename S::T;
  typename S::Rows q[S::kSets];
  float o[S::kSets][S::kColumns / 8][4];
  float top[S::kSets][2], sum[S::kSets][2];  // maximum so far; this thread's columns
  KeySpan seen[S::kSets][2];
  float scale;  // to scores in base 2, not negative

  // Rows from `first` on, of the block's from `block_first` on; those past the end do as the last one and are
  // not stored. `shared` has room for q where it is kept there.
  __device__ void start(const AttentionView& v, const T* q_of_head, T* shared, int block_first, int first,
                        int sample) {
    scale = fabsf(v.scale) * kLog2E;
    const std::uint32_t flip = v.scale < 0 ? 0x80008000U : 0;
#pragma unroll
    for (int m = 0; m < S::kSets; ++m) {
      const T* rows[2];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int row = min(first + 16 * m + 8 * h + lane_id() / 4, v.queries - 1);
        rows[h] = q_of_head + row * v.q_pitch();
        seen[m][h] = v.seen(sample, row);
        top[m][h] = -INFINITY, sum[m][h] = 0;
      }
      if constexpr (S::kInRegisters) {
        q[m].load(rows[0], rows[1], v.width, flip);
      } else {
        q[m] = {{shared}, first - block_first + 16 * m, flip};
      }
#pragma unroll
      for (int n = 0; n < S::kColumns / 8; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) o[m][n][e] = 0;
    }
    if constexpr (!S::kInRegisters) {
      q[0].tile.template load<S::kThreads>(q_of_head + block_first * v.q_pitch(), v.q_pitch(), v.width, 0,
                                           v.queries - block_first);
    }
  }
};

// Scores against the tile's keys [0, past), by sixteens; the other ones stay 0.
template <class S>
__device__ __forceinline__ void score(float (&s)[S::kSets][S::kKeys / 8][4], const WarpRows<S>& w,
                                      const typename S::KeyTile& keys, int past) {
#pragma unroll
  for (int n = 0; n < S::kKeys; n += 16) {
#pragma unroll
    for (int m = 0; m < S::kSets; ++m)
#pragma unroll
      for (int e = 0; e < 8; ++e) s[m][n / 8 + e / 4][e % 4] = 0;
    if (n >= past) continue;
#pragma unroll
    for (int k = 0; k < S::kWidth / 16; ++k) {
      const int lane = lane_id();
      std::uint32_t b[4];
      ldmatrix<4>(b, keys.at(n + lane / 16 * 8 + lane % 8, 16 * k + lane / 8 % 2 * 8));
#pragma unroll
      for (int m = 0; m < S::kSets; ++m) {
        std::uint32_t a[4];
        w.q[m].get(k, a);
        mma_16x8x16<typename S::T>(s[m][n / 8], a, {b[0], b[1]});
        mma_16x8x16<typename S::T>(s[m][n / 8 + 1], a, {b[2], b[3]});
      }
    }
    if constexpr (S::kWidth % 16 != 0) {
#pragma unroll
      for (int m = 0; m < S::kSets; ++m) dots_tail(s[m] + n / 8, w.q[m].tail[0], keys, n);
    }
  }
}

template <class S>
__device__ __forceinline__ void hide_unseen(float (&s)[S::kSets][S::kKeys / 8][4], const WarpRows<S>& w,
                                            int first_key) {
#pragma unroll
  for (int m = 0; m < S::kSets; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const KeySpan seen = w.seen[m][h];
      const int key = first_key + lane_id() % 4 * 2 - seen.begin;
      const auto length = static_cast<unsigned>(max(0, seen.end - seen.begin));
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n)
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (static_cast<unsigned>(key + 8 * n + e) >= length) s[m][n][2 * h + e] = -INFINITY;
        }
    }
}

// Online softmax: scores become 2^(score - running maximum); what o and sum hold is brought to the new one.
template <class S>
__device__ __forceinline__ void soften(float (&s)[S::kSets][S::kKeys / 8][4], WarpRows<S>& w) {
#pragma unroll
  for (int m = 0; m < S::kSets; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float top = w.top[m][h];
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n) top = fmaxf(top, fmaxf(s[m][n][2 * h], s[m][n][2 * h + 1]));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(kAllLanes, top, 2));
      const float shift = top == -INFINITY ? 0 : top * w.scale;
      const float keep = exp2_approx(w.top[m][h] * w.scale - shift);
      float sum = 0;
#pragma unroll
      for (int n = 0; n < S::kKeys / 8; ++n)
#pragma unroll
        for (int e = 2 * h; e < 2 * h + 2; ++e) {
          s[m][n][e] = exp2_approx(fmaf(s[m][n][e], w.scale, -shift));
          sum += s[m][n][e];
        }
      w.sum[m][h] = w.sum[m][h] * keep + sum;
      w.top[m][h] = top;
#pragma unroll
      for (int n = 0; n < S::kColumns / 8; ++n) w.o[m][n][2 * h] *= keep, w.o[m][n][2 * h + 1] *= keep;
    }
}

// o += p · values, for the tile's keys [0, past), by sixteens.
template <class S>
__device__ __forceinline__ void gather(WarpRows<S>& w, const float (&p)[S::kSets][S::kKeys / 8][4],
                                       const typename S::KeyTile& values, int past) {
#pragma unroll
  for (int r = 0; r < S::kKeys; r += 16) {
    if (r >= past) continue;
    const int column = warp_id() % S::kSplits * S::kColumns;
    std::uint32_t a[S::kSets][4];
#pragma unroll
    for (int m = 0; m < S::kSets; ++m) as_left<typename S::T>(a[m], p[m] + r / 8);
#pragma unroll
    for (int n = 0; n + 16 <= S::kColumns; n += 16) {
      std::uint32_t b[4];
      ldmatrix<4, Transposed::yes>(b, values.at(r + lane_id() % 16, column + n + lane_id() / 16 * 8));
#pragma unroll
      for (int m = 0; m < S::kSets; ++m) {
        mma_16x8x16<typename S::T>(w.o[m][n / 8], a[m], {b[0], b[1]});
        mma_16x8x16<typename S::T>(w.o[m][n / 8 + 1], a[m], {b[2], b[3]});
      }
    }
    if constexpr (S::kWidth % 16 != 0) {
      std::uint32_t b[2];
      ldmatrix<2, Transposed::yes>(b, values.at(r + lane_id() % 16, S::kWidth - 8));
#pragma unroll
      for (int m = 0; m < S::kSets; ++m) mma_16x8x16<typename S::T>(w.o[m][S::kWidth / 8 - 1], a[m], b);
    }
  }
}

template <class S>
__device__ __forceinline__ void finish(const WarpRows<S>& w, const AttentionView& v,
                                       const ForwardTensors<typename S::T>& x, int lane, int first) {
#pragma unroll
  for (int m = 0; m < S::kSets; ++m)
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float sum = w.sum[m][h];
      sum += __shfl_xor_sync(kAllLanes, sum, 1);
      sum += __shfl_xor_sync(kAllLanes, sum, 2);
      const int row = first + 16 * m + 8 * h + lane_id() / 4;
      if (row >= v.queries) continue;
      const float top = w.top[m][h], shift = top == -INFINITY ? 0 : top * w.scale;
      const int column = warp_id() % S::kSplits * S::kColumns;
      if (column == 0 && lane_id() % 4 == 0)
        x.lse[std::int64_t{lane} * v.queries + row] = kLn2 * shift + logf(sum);
      store_row(x.o + v.q_offset(lane, row) + column, w.o[m], h, sum == 0 ? 0 : 1 / sum, v.width - column);
    }
}

template <class S>
__global__ void __launch_bounds__(S::kThreads)
    forward_kernel(ForwardTensors<typename S::T> x, AttentionView v) {
  using T = typename S::T;
  const int tiles = (v.queries + S::kQueries - 1) / S::kQueries, block = static_cast<int>(blockIdx.x);
  const int lane = block / tiles, sample = lane / v.heads;
  const int first = (tiles - 1 - block % tiles) * S::kQueries;  // under a causal mask the longest come first
  const int first_row = first + warp_id() / S::kSplits * S::kRows;
  const KeySpan all = rows_see(v, sample, first, S::kQueries).any;
  const RowsSee mine = rows_see(v, sample, min(first_row, v.queries - 1), S::kRows);

  T* shared = shared_memory<T>();
  const typename S::KeyTile keys{shared}, values{shared + S::KeyTile::kNumbers};
  const auto load = [&](const typename S::KeyTile& tile, const T* from, int key) {
    if (key < all.end) {
      tile.template load<S::kThreads>(from + v.kv_offset(lane, key), v.kv_pitch(), v.width, 0, all.end - key);
    }
    cp_async_commit();
  };
  WarpRows<S> w;
  w.start(v, x.q + v.q_offset(lane, 0), shared + 2 * S::KeyTile::kNumbers, first, first_row, sample);
  load(keys, x.k, all.begin);
  for (int key = all.begin; key < all.end; key += S::kKeys) {
    const int past = mine.any.begin < key + S::kKeys ? mine.any.end - key : 0;  // what this warp sees ends
    float s[S::kSets][S::kKeys / 8][4];
    cp_async_wait<0>();
    __syncthreads();
    load(values, x.v, key);
    if (past > 0) {
      score(s, w, keys, past);
      if (mine.all.begin > key || mine.all.end < key + S::kKeys) hide_unseen(s, w, key);
      soften(s, w);
    }
    cp_async_wait<0>();
    __syncthreads();
    load(keys, x.k, key + S::kKeys);
    if (past > 0) gather(w, s, values, past);
  }
  finish(w, v, x, lane, first_row);
}

template <class S>
void launch_forward(CudaStream stream, const AttentionForwardArgs& a) {
  using T = typename S::T;
  const AttentionSize& size = a.size;
  const ForwardTensors<T> x{static_cast<T*>(a.o), a.lse, static_cast<const T*>(a.q),
                            static_cast<const T*>(a.k), static_cast<const T*>(a.v)};
  const std::int64_t blocks = tiles_of(size.queries, S::kQueries) * size.samples * size.heads;
  launch({.op = "attention_forward",
          .grid = grid_of("attention_forward", blocks),
          .block = S::kThreads,
          .stream = stream,
          .shared_bytes = S::kSharedBytes,
          .sizes = {size.queries, size.keys, size.heads, size.width}},
         forward_kernel<S>, x, AttentionView::of(size));
}

}  // namespace

void attention_forward(CudaStream stream, const AttentionForwardArgs& a) {
  const AttentionSize& size = a.size;
  if (size.samples * size.queries == 0) return;
  const bool tensor_cores = on_tensor_cores(a.dtype, size.width, a.o, a.q, a.k, a.v);
  if (!tensor_cores || size.width > kWidestForward) return attention_any_forward(stream, a);
  if (AttentionFew::takes(size) && size.width <= kWidestHead) return attention_few(stream, a);
  with_half_type("attention_forward", a.dtype, [&](auto number) {
    using T = decltype(number);
    if (size.width > kWidestHead) return launch_forward<ForwardShape<T, kWidestForward>>(stream, a);
    with_head_class(size.width, [&](auto width) { launch_forward<ForwardShape<T, width()>>(stream, a); });
  });
}

}  // namespace rankine::cuda
