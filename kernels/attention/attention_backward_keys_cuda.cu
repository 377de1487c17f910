// dk and dv of attention_backward: a block owns a tile of keys of one key head, a warp 16 of them with their
// sums in registers; all rows of all query heads that read them come by in tiles, in one order. Where keys
// are few, a block takes a run of the rows, and the sums of the runs are added in order.
#include "kernels/attention/attention_tile.cuh"
#include "kernels/attention/attention_view.cuh"

namespace rankine::cuda {
namespace {

template <class T>
struct KeyTensors {
  T* dk;
  T* dv;
  const T* d_o;
  const T* q;
  const T* k;
  const T* v;
  const RowFacts* facts;
  const int2* tiles;  // the keys that rows of a tile see; null: what causal allows
  float* partial;     // (dk and dv, run, key); null: one run
};

// Which sums fit in registers at once: those of wide heads take two passes.
enum class Sums { both, of_keys, of_values };

template <class T_, int kWidth_, Sums kSums_>
struct KeyShape {
  using T = T_;
  static constexpr Sums kSums = kSums_;
  static constexpr bool kOfKeys = kSums != Sums::of_values, kOfValues = kSums != Sums::of_keys;
  static constexpr int kWidth = kWidth_, kWarps = kWidth > 80 && kWidth <= 128 ? 8 : 4;
  static constexpr int kThreads = 32 * kWarps, kKeys = 16 * kWarps;
  static constexpr int kQueries = kWidth <= 80 ? 32 : 16, kStages = kWidth <= 160 ? 2 : 1;
  static_assert(kBackwardRows % kQueries == 0);
  using KeyTile = Tile<T, kKeys, kWidth>;
  using QueryTile = Tile<T, kQueries, kWidth>;
  static constexpr int kFactsBytes = kQueries * static_cast<int>(sizeof(RowFacts));
  static constexpr int kStageBytes = 2 * QueryTile::kBytes + kFactsBytes;
  static constexpr int kSharedBytes = 2 * KeyTile::kBytes + kStages * kStageBytes;
};

// One tile of rows as it comes by.
template <class S>
struct Stage {
  typename S::QueryTile q, d_o;
  RowFacts* facts;
  __device__ static Stage at(unsigned char* shared, int index) {
    using T = typename S::T;
    unsigned char* p = shared + 2 * S::KeyTile::kBytes + index * S::kStageBytes;
    return {{reinterpret_cast<T*>(p)},
            {reinterpret_cast<T*>(p + S::QueryTile::kBytes)},
            reinterpret_cast<RowFacts*>(p + 2 * S::QueryTile::kBytes)};
  }
  __device__ void load(const KeyTensors<typename S::T>& x, const AttentionView& v, int lane, int row) const {
    const std::int64_t at = v.q_offset(lane, row);
    const int rows = v.queries - row;
    q.template load<S::kThreads>(x.q + at, v.q_pitch(), v.width, 0, rows);
    d_o.template load<S::kThreads>(x.d_o + at, v.q_pitch(), v.width, 0, rows);
    const RowFacts* from = x.facts + std::int64_t{lane} * v.queries + row;
    const int i = static_cast<int>(threadIdx.x);
    if (i < S::kQueries) cp_async16(facts + i, i < rows ? from + i : from, i < rows);
  }
};

// Where the walk over heads and rows stands.
struct Walk {
  int head, row;
};
// What a block walks over: rows [first, past) of each head, as far as they see one of its keys.
struct Course {
  const int2* tiles;  // of the sample
  KeySpan keys;
  int first, past;
};
// The walk's first tile of `step` rows, from `at` on, of which a row sees one of the keys; head `heads` when
// there is none. All 32 lanes call.
__device__ inline Walk next_tile(const AttentionView& v, const Course& course, Walk at, int step) {
  const int heads = v.group(), per_sample = (v.queries + kBackwardRows - 1) / kBackwardRows;
  const KeySpan keys = course.keys;
  const int earliest = v.causal ? max(0, keys.begin - (v.keys - v.queries)) / step * step : 0;
  for (; at.head < heads; at = {at.head + 1, 0}) {
    at.row = max(at.row, max(course.first, earliest));
    if (!course.tiles && at.row < course.past) return at;
    for (; at.row < course.past; at.row = (at.row / kBackwardRows + kWarp) * kBackwardRows) {
      const int mine = at.row / kBackwardRows + lane_id();
      const int2 seen = mine < per_sample ? course.tiles[mine] : make_int2(0, 0);
      const unsigned votes = __ballot_sync(kAllLanes, seen.x < keys.end && seen.y > keys.begin);
      if (votes == 0) continue;
      const int skipped = __ffs(static_cast<int>(votes)) - 1;
      if (skipped > 0) at.row = (at.row / kBackwardRows + skipped) * kBackwardRows;
      if (at.row < course.past) return at;
    }
  }
  return at;
}

template <class S>
struct KeySums {
  float dk[S::kOfKeys ? S::kWidth / 8 : 1][4] = {}, dv[S::kOfValues ? S::kWidth / 8 : 1][4] = {};

  // Adds what one tile of rows gives to this warp's 16 keys, of which thread (g, t) has `key` and key + 8.
  __device__ __forceinline__ void add(const typename S::KeyTile& k, const typename S::KeyTile& v,
                                      const Stage<S>& rows, int key, float scale) {
    using T = typename S::T;
    using Own = SharedRows<typename S::KeyTile>;
    float p[S::kQueries / 8][4] = {}, ds[S::kQueries / 8][4] = {};
    dots(p, Own{k, 16 * warp_id()}, rows.q);
    if constexpr (S::kOfKeys) dots(ds, Own{v, 16 * warp_id()}, rows.d_o);
#pragma unroll
    for (int n = 0; n < S::kQueries / 8; ++n)
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        const RowFacts row = rows.facts[8 * n + lane_id() % 4 * 2 + c];
#pragma unroll
        for (int e = c; e < 4; e += 2) {
          const bool seen = row.sees(key + e / 2 * 8);
          p[n][e] = seen ? exp2_approx(fmaf(p[n][e], scale, -row.lse)) : 0;
          ds[n][e] = seen ? p[n][e] * (ds[n][e] - row.delta) : 0;
        }
      }
#pragma unroll
    for (int r = 0; r < S::kQueries; r += 16) {
      std::uint32_t a[4];
      if constexpr (S::kOfValues) {
        as_left<T>(a, p + r / 8);
        mix(dv, a, rows.d_o, r);
      }
      if constexpr (S::kOfKeys) {
        as_left<T>(a, ds + r / 8);
        mix(dk, a, rows.q, r);
      }
    }
  }
};

// To dk and dv, or to this run's part of what they are the sum of.
template <class S>
__device__ __forceinline__ void store_sums(const KeySums<S>& sums, const KeyTensors<typename S::T>& x,
                                           const AttentionView& v, int lane, int key) {
  const std::int64_t numbers = std::int64_t{v.samples} * v.keys * v.kv_pitch();
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    if (key + 8 * h >= v.keys) continue;
    const std::int64_t to = v.kv_offset(lane, key + 8 * h);
    if (x.partial) {
      float* dk = x.partial + blockIdx.y * numbers + to;
      if constexpr (S::kOfKeys) store_row(dk, sums.dk, h, v.scale, v.width);
      if constexpr (S::kOfValues) store_row(dk + gridDim.y * numbers, sums.dv, h, 1, v.width);
    } else {
      if constexpr (S::kOfKeys) store_row(x.dk + to, sums.dk, h, v.scale, v.width);
      if constexpr (S::kOfValues) store_row(x.dv + to, sums.dv, h, 1, v.width);
    }
  }
}

template <class S>
__global__ void __launch_bounds__(S::kThreads, 8 / S::kWarps)
    keys_kernel(KeyTensors<typename S::T> x, AttentionView v) {
  using T = typename S::T;
  const int tiles = (v.keys + S::kKeys - 1) / S::kKeys, block = static_cast<int>(blockIdx.x);
  const int first_lane = block / tiles * v.group(), sample = first_lane / v.heads;
  const int first = block % tiles * S::kKeys, key = first + 16 * warp_id() + lane_id() / 4;
  const int rows = (v.queries + static_cast<int>(gridDim.y) * kBackwardRows - 1) /
                   (static_cast<int>(gridDim.y) * kBackwardRows) * kBackwardRows;
  const int per_sample = (v.queries + kBackwardRows - 1) / kBackwardRows;
  const Course course{x.tiles ? x.tiles + std::int64_t{sample} * per_sample : nullptr,
                      {first, min(first + S::kKeys, v.keys)},
                      static_cast<int>(blockIdx.y) * rows,
                      min(v.queries, (static_cast<int>(blockIdx.y) + 1) * rows)};

  auto* shared = shared_memory<unsigned char>();
  const typename S::KeyTile own_k{reinterpret_cast<T*>(shared)};
  const typename S::KeyTile own_v{reinterpret_cast<T*>(shared + S::KeyTile::kBytes)};
  own_k.template load<S::kThreads>(x.k + v.kv_offset(first_lane, first), v.kv_pitch(), v.width, 0,
                                   v.keys - first);
  if constexpr (S::kOfKeys) {
    own_v.template load<S::kThreads>(x.v + v.kv_offset(first_lane, first), v.kv_pitch(), v.width, 0,
                                     v.keys - first);
  }
  const auto load = [&](Walk at, int stage) {
    if (at.head < v.group()) Stage<S>::at(shared, stage).load(x, v, first_lane + at.head, at.row);
    cp_async_commit();
  };
  KeySums<S> sums;
  Walk at = next_tile(v, course, {0, 0}, S::kQueries);
  load(at, 0);
  for (int stage = 0; at.head < v.group(); stage = (stage + 1) % S::kStages) {
    const Walk next = next_tile(v, course, {at.head, at.row + S::kQueries}, S::kQueries);
    if constexpr (S::kStages == 2) load(next, stage ^ 1);
    cp_async_wait<S::kStages - 1>();
    __syncthreads();
    sums.add(own_k, own_v, Stage<S>::at(shared, stage), key, v.scale * kLog2E);
    __syncthreads();
    if constexpr (S::kStages == 1) load(next, 0);
    at = next;
  }
  cp_async_wait<0>();
  store_sums(sums, x, v, first_lane, key);
}

// The sums of all runs of rows, in order.
template <class T>
struct AddRuns {
  T* dk;
  T* dv;
  const float* partial;
  std::int64_t numbers;  // of dk
  int runs;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t which = i / numbers, at = i % numbers;
    float sum = 0;
    for (int r = 0; r < runs; ++r) sum += partial[(which * runs + r) * numbers + at];
    (which == 0 ? dk : dv)[at] = from_float<T>(sum);
  }
};

unsigned runs_of(const AttentionSize& size) { return static_cast<unsigned>(size.backward_runs()); }

template <class S>
void launch_keys(CudaStream stream, const AttentionBackwardArgs& a) {
  using T = typename S::T;
  const AttentionSize& size = a.size;
  const KeyTensors<T> x{static_cast<T*>(a.dk),
                        static_cast<T*>(a.dv),
                        static_cast<const T*>(a.d_o),
                        static_cast<const T*>(a.q),
                        static_cast<const T*>(a.k),
                        static_cast<const T*>(a.v),
                        static_cast<const RowFacts*>(a.rows),
                        size.visible ? static_cast<const int2*>(a.tiles) : nullptr,
                        a.partial};
  const std::int64_t blocks = tiles_of(size.keys, S::kKeys) * size.samples * size.kv_heads;
  launch({.op = "attention_backward",
          .grid = dim3(grid_of("attention_backward", blocks), a.partial ? runs_of(size) : 1),
          .block = S::kThreads,
          .stream = stream,
          .shared_bytes = S::kSharedBytes,
          .sizes = {size.queries, size.keys, size.heads, size.width}},
         keys_kernel<S>, x, AttentionView::of(size));
}

}  // namespace

void attention_backward_keys(CudaStream stream, const AttentionBackwardArgs& a) {
  with_half_type("attention_backward", a.dtype, [&](auto number) {
    using T = decltype(number);
    with_head_class(a.size.width, [&](auto width) {
      if constexpr (width() <= 160) {
        launch_keys<KeyShape<T, width(), Sums::both>>(stream, a);
      } else {
        launch_keys<KeyShape<T, width(), Sums::of_values>>(stream, a);
        launch_keys<KeyShape<T, width(), Sums::of_keys>>(stream, a);
      }
    });
    if (!a.partial) return;
    const std::int64_t numbers = a.size.samples * a.size.keys * a.size.kv_pitch();
    for_each("attention_backward", stream, 2 * numbers,
             AddRuns<T>{static_cast<T*>(a.dk), static_cast<T*>(a.dv), a.partial, numbers,
                        static_cast<int>(runs_of(a.size))});
  });
}

}  // namespace rankine::cuda
