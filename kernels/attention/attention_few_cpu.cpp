#include <cmath>
#include <limits>

#include "kernels/attention/attention_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_few_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include <hwy/cache_control.h>

#include "kernels/attention/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kChunk = AttentionFew::kChunk;
constexpr int kMostRows = 16;  // of queries that share one pass over the keys
// Keys a tile of registers goes on with: rows of one head often lie a power of two apart, and more of them
// would push each other out of the first-level cache.
constexpr std::int64_t kKeyBlock = 8;

// A run of at most kChunk keys of one key head, and the rows of queries that see some of it.
struct Run {
  const float* k;  // of the first key
  const float* v;
  std::int64_t n, pitch, width;
  float scale;
  int rows;
  const float* q[kMostRows];
  float* part[kMostRows];    // o, maximum, sum
  KeyRange seen[kMostRows];  // of the run's keys
};
using Scores = float[kMostRows][kChunk];

// The rows of x that the block after the one of row j will read.
HWY_INLINE void fetch_ahead(const float* x, const Run& run, std::int64_t j) {
  constexpr std::int64_t kLine = 16;
  const std::int64_t past = std::min(run.n, j + 2 * kKeyBlock);
  for (std::int64_t ahead = j + kKeyBlock; ahead < past; ++ahead)
    for (std::int64_t i = 0; i < run.width; i += kLine) hwy::Prefetch(x + ahead * run.pitch + i);
}

// Scores of rows [r, r + R) and keys [j, j + K).
template <int R, int K>
HWY_INLINE void dots(Scores& scores, const Run& run, int r, std::int64_t j) {
  VecF acc[R][K];
  for (auto& row : acc)
    for (VecF& a : row) a = set(0.0F);
  const float* k = run.k + j * run.pitch;
  for_vectors(run.width, [&](auto io, std::int64_t i) HWY_ATTR {
    VecF key[K];
    for (int c = 0; c < K; ++c) key[c] = io.get(k + c * run.pitch + i);
    for (int b = 0; b < R; ++b) {
      const VecF x = io.get(run.q[r + b] + i);
      for (int c = 0; c < K; ++c) acc[b][c] = hn::MulAdd(x, key[c], acc[b][c]);
    }
  });
  for (int b = 0; b < R; ++b)
    for (int c = 0; c < K; ++c) scores[r + b][j + c] = run.scale * sum_lanes(acc[b][c]);
}
template <int R, int K>
HWY_INLINE void dots_of_block(Scores& scores, const Run& run, int r, std::int64_t j, std::int64_t past) {
  for (; j + K <= past; j += K) dots<R, K>(scores, run, r, j);
  for (; j < past; ++j) dots<R, 1>(scores, run, r, j);
}

// part[r .. r + R) += sum over keys [j, past) of p v, for V vectors from element i on.
template <int R, int V, class Io>
HWY_INLINE void mix(const Scores& p, const Run& run, int r, KeyRange keys, std::int64_t i, Io io) {
  VecF acc[R][V];
  for (int b = 0; b < R; ++b)
    for (int c = 0; c < V; ++c) acc[b][c] = io.get(run.part[r + b] + i + c * lanes());
  const float* v = run.v + keys.begin * run.pitch + i;
  for (std::int64_t j = keys.begin; j < keys.end; ++j, v += run.pitch) {
    VecF value[V];
    for (int c = 0; c < V; ++c) value[c] = io.get(v + c * lanes());
    for (int b = 0; b < R; ++b) {
      const VecF weight = set(p[r + b][j]);
      for (int c = 0; c < V; ++c) acc[b][c] = hn::MulAdd(weight, value[c], acc[b][c]);
    }
  }
  for (int b = 0; b < R; ++b)
    for (int c = 0; c < V; ++c) io.put(acc[b][c], run.part[r + b] + i + c * lanes());
}
template <int R, int V>
HWY_INLINE void mix_of_block(const Scores& p, const Run& run, int r, KeyRange keys) {
  std::int64_t i = 0;
  for (; i + V * lanes() <= run.width; i += V * lanes()) mix<R, V>(p, run, r, keys, i, Whole());
  for (; i + lanes() <= run.width; i += lanes()) mix<R, 1>(p, run, r, keys, i, Whole());
  if (i < run.width) mix<R, 1>(p, run, r, keys, i, Part{run.width - i});
}

void attend(const Run& run) {
  HWY_ALIGN Scores scores;
  for (std::int64_t j = 0; j < run.n; j += kKeyBlock) {
    const std::int64_t past = std::min(run.n, j + kKeyBlock);
    fetch_ahead(run.k, run, j);
    int r = 0;
    for (; r + 4 <= run.rows; r += 4) dots_of_block<4, 2>(scores, run, r, j, past);
    for (; r < run.rows; ++r) dots_of_block<1, 4>(scores, run, r, j, past);
  }
  for (int r = 0; r < run.rows; ++r) {
    const auto [begin, end] = run.seen[r];
    const float top = row_max(scores[r] + begin, end - begin, -std::numeric_limits<float>::infinity());
    std::fill_n(run.part[r], run.width, 0.0F);
    run.part[r][run.width] = top;
    run.part[r][run.width + 1] = exp_row(scores[r] + begin, end - begin, top);
    clear_unseen(scores[r], run.seen[r], run.n);
  }
  for (std::int64_t j = 0; j < run.n; j += kKeyBlock) {
    const KeyRange keys{j, std::min(run.n, j + kKeyBlock)};
    fetch_ahead(run.v, run, j);
    int r = 0;
    for (; r + 4 <= run.rows; r += 4) mix_of_block<4, 2>(scores, run, r, keys);
    for (; r < run.rows; ++r) mix_of_block<1, 4>(scores, run, r, keys);
  }
}

// Chunks of one row of a head, brought to their common maximum, in order. A chunk of which nothing is seen
// has the sum 0.
void combine(const AttentionFew& a, std::int64_t lane, std::int64_t query) {
  const std::int64_t chunks = AttentionFew::chunks(a.size), width = a.size.width;
  float top = -std::numeric_limits<float>::infinity(), sum = 0;
  for (std::int64_t c = 0; c < chunks; ++c) top = std::max(top, a.part(lane, query, c)[width]);
  float* o = a.o + a.size.q_offset(lane, query);
  std::fill_n(o, width, 0.0F);
  for (std::int64_t c = 0; c < chunks; ++c) {
    const float* part = a.part(lane, query, c);
    if (part[width + 1] == 0) continue;
    const float share = std::exp(part[width] - top);
    sum += share * part[width + 1];
    map(
        o, width, [s = set(share)](VecF y, VecF x) HWY_ATTR { return hn::MulAdd(s, x, y); }, o, part);
  }
  map(
      o, width, [s = set(1.0F / sum)](VecF y) HWY_ATTR { return hn::Mul(s, y); }, o);
  a.lse[lane * a.size.queries + query] = top + std::log(sum);
}

// Rows [first, first + rows) of one key head's queries, ordered by query, then head, against one chunk of its
// keys.
void attend_chunk(const AttentionFew& a, std::int64_t kv_lane, std::int64_t chunk, std::int64_t first,
                  int rows) {
  const AttentionSize& s = a.size;
  const std::int64_t sample = kv_lane / s.kv_heads, begin = chunk * kChunk,
                     end = std::min(s.keys, begin + kChunk);
  Run run{};
  KeyRange all{end, begin};
  for (int r = 0; r < rows; ++r) {
    const std::int64_t query = (first + r) / s.group(), lane = kv_lane * s.group() + (first + r) % s.group();
    const KeyRange seen = s.seen(sample, query);
    run.q[r] = a.q + s.q_offset(lane, query);
    run.part[r] = a.part(lane, query, chunk);
    run.seen[r] = {std::clamp(seen.begin, begin, end), std::clamp(seen.end, begin, end)};
    if (run.seen[r].begin == run.seen[r].end) continue;
    all = {std::min(all.begin, run.seen[r].begin), std::max(all.end, run.seen[r].end)};
  }
  if (all.begin >= all.end) {
    for (int r = 0; r < rows; ++r) {
      run.part[r][s.width] = -std::numeric_limits<float>::infinity();
      run.part[r][s.width + 1] = 0;
    }
    return;
  }
  for (int r = 0; r < rows; ++r) {
    KeyRange& seen = run.seen[r];
    seen = seen.begin == seen.end ? KeyRange{0, 0} : KeyRange{seen.begin - all.begin, seen.end - all.begin};
  }
  const std::int64_t at = s.kv_offset(kv_lane * s.group()) + all.begin * s.kv_pitch();
  run.k = a.k + at;
  run.v = a.v + at;
  run.n = all.end - all.begin;
  run.pitch = s.kv_pitch();
  run.width = s.width;
  run.scale = s.scale;
  run.rows = rows;
  attend(run);
}

void few_task(const AttentionFew& a, std::int64_t task) {
  const std::int64_t chunks = AttentionFew::chunks(a.size), rows = a.size.queries * a.size.group();
  for (std::int64_t first = 0; first < rows; first += kMostRows)
    attend_chunk(a, task / chunks, task % chunks, first,
                 static_cast<int>(std::min<std::int64_t>(kMostRows, rows - first)));
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(few_task);
HWY_EXPORT(combine);

void attention_few(ThreadPool& pool, const AttentionFew& a) {
  // A key and its value are read for each 4 FLOPs per number of theirs: memory sets the pace, and a thread is
  // worth waking for fewer FLOPs than in a product of tiles.
  constexpr double kFlopsPerThread = 2.5e5;
  const AttentionSize& s = a.size;
  const std::int64_t tasks = s.samples * s.kv_heads * AttentionFew::chunks(s),
                     rows = s.samples * s.heads * s.queries;
  const double each = 2 * s.flops() / double(std::max<std::int64_t>(1, tasks));
  pool.parallel_for(tasks, static_cast<std::int64_t>(std::ceil(kFlopsPerThread / std::max(1.0, each))),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t t = begin; t < end; ++t) HWY_DYNAMIC_DISPATCH(few_task)(a, t);
                    });
  const std::int64_t numbers = AttentionFew::chunks(s) * (s.width + 2);
  constexpr std::int64_t kNumbersPerThread = 1 << 16;
  pool.parallel_for(rows, std::max<std::int64_t>(1, kNumbersPerThread / numbers),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t r = begin; r < end; ++r)
                        HWY_DYNAMIC_DISPATCH(combine)(a, r / s.queries, r % s.queries);
                    });
}

}  // namespace rankine::cpu
#endif
