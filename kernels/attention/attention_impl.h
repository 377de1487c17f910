// What a device implements for attention.h: plain pointers, sizes already checked. Internal to this folder.
#pragma once

#include <algorithm>
#include <cmath>
#include <string_view>

#include "engine/core/cuda_device.h"
#include "kernels/common/checks.h"
#include "kernels/matmul/gemm.h"

namespace rankine {

struct KeyRange {
  std::int64_t begin, end;
};

struct AttentionSize {
  std::int64_t samples, queries, keys, heads, kv_heads, width;  // width: D, of one head
  bool causal;
  float scale;
  const std::int32_t* visible =
      nullptr;       // (samples, queries, 2), checked; null: every row sees what causal allows
  double pairs = 0;  // visible (row, column) pairs of one head, over all samples

  std::int64_t group() const { return heads / kv_heads; }
  std::int64_t q_pitch() const { return heads * width; }  // floats from one token of q to the next
  std::int64_t kv_pitch() const { return kv_heads * width; }
  // Where a query head (a lane: sample · heads + head) starts in q at token `row`, and its keys in k.
  std::int64_t q_offset(std::int64_t lane, std::int64_t row) const {
    return (lane / heads * queries + row) * q_pitch() + lane % heads * width;
  }
  std::int64_t kv_offset(std::int64_t lane) const {
    return lane / heads * keys * kv_pitch() + lane % heads / group() * width;
  }
  // The keys that a row of a sample sees.
  KeyRange seen(std::int64_t sample, std::int64_t row) const {
    const std::int64_t past = causal ? row + 1 + keys - queries : keys;
    if (!visible) return {0, past};
    const std::int32_t* range = visible + 2 * (sample * queries + row);
    return {range[0], std::min<std::int64_t>(past, range[1])};
  }
  // Pairs without ranges: what they cannot exceed.
  double most_pairs() const {
    const double rows = double(queries);
    const double each = causal ? rows * double(keys - queries) + rows * (rows + 1) / 2 : rows * double(keys);
    return double(samples) * each;
  }
  // Backward on CUDA: tiles of rows whose keys are listed, in one sample; runs of rows that dk and dv are
  // summed over apart, so that few keys (a prompt's 77) still give many blocks.
  static constexpr std::int64_t kBackwardRows = 32;
  std::int64_t backward_tiles() const { return (queries + kBackwardRows - 1) / kBackwardRows; }
  std::int64_t backward_runs() const {
    constexpr std::int64_t kKeys = 64, kBlocks = 256, kFewestRows = 256;
    const std::int64_t blocks = std::max<std::int64_t>(1, samples * kv_heads * ((keys + kKeys - 1) / kKeys));
    const std::int64_t most = std::max<std::int64_t>(1, queries / kFewestRows);
    return std::min((kBlocks + blocks - 1) / blocks, most);
  }
  double flops() const { return 2.0 * double(width) * double(heads) * pairs; }  // of one product, all heads
};

// Rows [first, first + rows) of one sample, worked on together, and the keys [begin, end) that they see
// between them.
struct QueryTile {
  std::int32_t sample, first, rows, begin, end;
};
// Throws ShapeError unless every range lies in [0, keys) and leaves its row a key; returns the pairs seen.
double checked_pairs(std::string_view op, const AttentionSize& s);
// Cuts the rows of all samples into tiles whose keys are one run without a gap: a tile ends where the next
// row shares no key with it, or has `rows`. So packed samples never meet in a tile, and each is cut as it
// would be alone. `list` has room for a tile per row; returns the number of tiles.
std::int64_t cut_queries(const AttentionSize& s, std::int64_t rows, QueryTile* list);

// How the work is cut: into tasks, of one tile of queries forward, of all of a sample backward. Forward,
// where no row's arithmetic depends on its tile unless ranges cut it, tiles get smaller when there would be
// too few tasks for the threads.
struct AttentionTiles {
  static constexpr std::int64_t kQueries = 384, kFewestQueries = 64;
  static constexpr std::int64_t kKeys = 168;  // whole strips of a product
  static_assert(kQueries <= cpu::kBlockDepth && kFewestQueries % cpu::kBlockUnit == 0);
  std::int64_t queries, keys;  // of one tile, at most
  std::int64_t parts;          // that run at the same time, each with scratch
  std::int64_t per_sample;     // tiles, without a list
  const QueryTile* list;       // null: regular tiles of `queries` rows
  std::int64_t count;          // tiles of all samples

  QueryTile tile(const AttentionSize& s, std::int64_t t) const {
    if (list) return list[t];
    const std::int64_t sample = t / per_sample, first = t % per_sample * queries;
    const std::int64_t rows = std::min(queries, s.queries - first);
    const auto i32 = [](std::int64_t i) { return static_cast<std::int32_t>(i); };
    return {i32(sample), i32(first), i32(rows), 0, i32(s.seen(sample, first + rows - 1).end)};
  }
  // The first tile of a sample.
  std::int64_t first_of(std::int64_t sample) const {
    if (!list) return sample * per_sample;
    return std::partition_point(list, list + count, [&](const QueryTile& t) { return t.sample < sample; }) -
           list;
  }
  // By the sizes alone, as the plan knows nothing else; where ranges cut tiles, there may be one per row.
  static AttentionTiles of_forward(const AttentionSize& s, std::int64_t threads, bool by_ranges) {
    const auto tasks = [&](std::int64_t rows) { return s.samples * s.heads * tiles_of(s.queries, rows); };
    std::int64_t rows = std::min(s.queries, kQueries);
    while (!by_ranges && rows > kFewestQueries && tasks(rows) < 4 * threads)
      rows = (rows / 2 + kFewestQueries - 1) / kFewestQueries * kFewestQueries;
    return cut(s, rows, std::min(threads, tasks(by_ranges ? 1 : rows)));
  }
  static AttentionTiles of_backward(const AttentionSize& s, std::int64_t threads) {
    return cut(s, std::min(s.queries, kQueries), std::min(threads, s.samples * s.kv_heads));
  }

 private:
  static std::int64_t tiles_of(std::int64_t queries, std::int64_t rows) {
    return queries == 0 ? 0 : (queries + rows - 1) / rows;
  }
  static AttentionTiles cut(const AttentionSize& s, std::int64_t rows, std::int64_t parts) {
    const std::int64_t per_sample = tiles_of(s.queries, rows);
    return {rows, std::min(s.keys, kKeys), parts, per_sample, nullptr, s.samples * per_sample};
  }
};

struct AttentionForward {
  float* o;
  float* lse;
  const float* q;
  const float* k;
  const float* v;
  float* scratch;  // parts x attention_forward_scratch; not used by narrow heads
  AttentionSize size;
  AttentionTiles tiles;
};

// Few queries over many keys, as when text is generated: nothing is gained from copying keys for a product of
// tiles, so their rows are read where they lie, once for all query heads that share them, and chunks of keys
// are separate tasks.
struct AttentionFew {
  static constexpr std::int64_t kQueries = 8, kFewestKeys = 64, kChunk = 256;

  float* o;
  float* lse;
  const float* q;
  const float* k;
  const float* v;
  float* partial;  // `floats(size)`: per row of a head and chunk, its o before division, maximum and sum
  AttentionSize size;

  // By the sizes alone. A sample without a past has as many queries as keys and never comes here: were it to,
  // packing would change its bits.
  static bool takes(const AttentionSize& s) {
    return s.queries <= kQueries && s.keys >= kFewestKeys && s.queries > 0;
  }
  static std::int64_t chunks(const AttentionSize& s) { return (s.keys + kChunk - 1) / kChunk; }
  static std::int64_t floats(const AttentionSize& s) {
    return s.samples * s.heads * s.queries * chunks(s) * (s.width + 2);
  }
  float* part(std::int64_t lane, std::int64_t query, std::int64_t chunk) const {
    return partial + ((lane * size.queries + query) * chunks(size) + chunk) * (size.width + 2);
  }
};

struct AttentionBackward {
  float* dq;
  float* dk;
  float* dv;
  const float* d_o;
  const float* q;
  const float* k;
  const float* v;
  const float* o;
  const float* lse;
  float* scratch;  // parts x attention_backward_scratch; of narrow heads samples x kv_heads x their scratch
  AttentionSize size;
  AttentionTiles tiles;
};

namespace cpu {
// Scratch of a task: a tile of queries with their head of width D, and a block of keys. Operands are packed
// for products (gemm_packed-inl.h) by rows or by columns of what they are named after.
struct AttentionRoom {
  float *q_columns = nullptr, *d_o_columns = nullptr;  // panels of queries: scale qᵀ, dOᵀ
  float *q_rows = nullptr, *d_o_rows = nullptr;        // panels of D
  float *k_rows = nullptr, *v_rows = nullptr;          // strips of keys
  float *k_columns = nullptr, *v_columns = nullptr;    // strips of D: kᵀ, vᵀ
  float *scores = nullptr, *d_scores = nullptr;        // a row of queries per key, kStripPitch apart
  float* turned = nullptr;                             // Oᵀ or dQᵀ, lines of `pitch`
  float *top = nullptr, *sum = nullptr;  // per query: running maximum and sum; backward: lse and delta
  std::int64_t pitch = 0, width_depth = 0, rows_depth = 0;  // lines of panels: D or queries, and the gap

  static AttentionRoom of_forward(const AttentionTiles& tiles, std::int64_t width, float* scratch);
  static AttentionRoom of_backward(const AttentionTiles& tiles, std::int64_t width, float* scratch);
};
// Rows of one head in a token-major tensor.
template <class T>
struct HeadRows {
  T* data;
  std::int64_t pitch, width;
  T* row(std::int64_t r) const { return data + r * pitch; }
};

// Tasks, of `count` that make `flops` together, worth waking another thread for.
inline std::int64_t attention_grain(double flops, std::int64_t count) {
  constexpr double kFlopsPerThread = 5e5;
  const double each = flops / double(std::max<std::int64_t>(1, count));
  return static_cast<std::int64_t>(std::ceil(kFlopsPerThread / std::max(1.0, each)));
}

// Heads narrower than a vector have kernels of their own (attention_narrow_cpu.cpp).
inline bool narrow_heads(const AttentionSize& s) { return s.width == 4 || s.width == 8; }
struct NarrowRows {
  std::int64_t lane, begin, end;  // queries of one head
};
void attention_narrow_forward(ThreadPool& pool, const AttentionForward& args);
void attention_narrow_backward(ThreadPool& pool, const AttentionBackward& args);
// Floats of scratch for one key head of a sample.
inline std::int64_t narrow_backward_scratch(const AttentionSize& s) { return s.group() * s.queries; }

// Floats of scratch per part.
std::int64_t attention_forward_scratch(const AttentionTiles& tiles, std::int64_t width);
std::int64_t attention_backward_scratch(const AttentionTiles& tiles, std::int64_t width);
void attention_forward(ThreadPool& pool, const AttentionForward& args);
void attention_few(ThreadPool& pool, const AttentionFew& args);
void attention_backward(ThreadPool& pool, const AttentionBackward& args);
}  // namespace cpu

namespace cuda {
// Tensors of one type; size.visible is memory of the device that nobody has checked.
struct AttentionForwardArgs {
  void* o;
  float* lse;
  const void* q;
  const void* k;
  const void* v;
  float* partial;  // AttentionFew::floats, where it takes the call
  DType dtype;
  AttentionSize size;
};
struct AttentionBackwardArgs {
  void* dq;
  void* dk;
  void* dv;
  const void* d_o;
  const void* q;
  const void* k;
  const void* v;
  const void* o;
  const float* lse;
  void* rows;      // 16 bytes per row of a head: attention_view.cuh's RowFacts
  void* tiles;     // (samples, backward_tiles, 2) i32 where rows see ranges: the keys of each tile
  float* partial;  // (2, backward_runs, dk) where there are several
  DType dtype;
  AttentionSize size;
};
void attention_forward(CudaStream stream, const AttentionForwardArgs& args);
void attention_backward(CudaStream stream, const AttentionBackwardArgs& args);
}  // namespace cuda

}  // namespace rankine
