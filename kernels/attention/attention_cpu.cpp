#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention_impl.h"
#include "kernels/matmul/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/attention/softmax-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::kStripPitch;

HWY_INLINE void scale_row(float* x, std::int64_t n, float s) {
  map(
      x, n, [f = set(s)](VecF a) HWY_ATTR { return hn::Mul(a, f); }, x);
}

// Online softmax: scores become exp(score - running maximum); what o and sum held is brought to the new
// maximum.
void softmax_tile(const cpu::ScoreTile& tile, const cpu::HeadRows<float>& o, float* top, float* sum) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    float* row = tile.scores + r * kStripPitch;
    const auto [begin, end] = tile.seen(r);
    const float before = top[r];
    top[r] = row_max(row + begin, end - begin, before);
    const float add = exp_row(row + begin, end - begin, top[r]);
    clear_unseen(row, {begin, end}, tile.cols);
    if (top[r] != before && before != -std::numeric_limits<float>::infinity()) {
      const float shrink = std::exp(before - top[r]);
      sum[r] *= shrink;
      scale_row(o.row(r), o.width, shrink);
    }
    sum[r] += add;
  }
}

void finish_rows(const cpu::HeadRows<float>& o, std::int64_t rows, float* lse, const float* top,
                 const float* sum) {
  for (std::int64_t r = 0; r < rows; ++r) {
    scale_row(o.row(r), o.width, 1.0F / sum[r]);
    lse[r] = top[r] + std::log(sum[r]);
  }
}

// delta_r = a_r · b_r
void row_dots(float* delta, const cpu::HeadRows<const float>& a, const cpu::HeadRows<const float>& b,
              std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* x = a.row(r);
    const float* y = b.row(r);
    VecF sum = set(0.0F);
    std::int64_t i = 0;
    for (; i + lanes() <= a.width; i += lanes()) sum = hn::MulAdd(load(x + i), load(y + i), sum);
    if (i < a.width) sum = hn::MulAdd(load_n(x + i, a.width - i), load_n(y + i, a.width - i), sum);
    delta[r] = sum_lanes(sum);
  }
}

// scores -> p = exp(score - lse); dp -> ds = scale p (dp - delta). Both 0 where masked.
void score_grad_tile(const cpu::ScoreTile& tile, float* dp, const float* lse, const float* delta,
                     float scale) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    float* p = tile.scores + r * kStripPitch;
    float* ds = dp + r * kStripPitch;
    const KeyRange seen = tile.seen(r);
    const std::int64_t at = seen.begin, n = seen.end - at;
    const VecF top = set(lse[r]);
    const VecF mean = set(delta[r]);
    const VecF factor = set(scale);
    map(
        p + at, n, [top](VecF s) HWY_ATTR { return exp_keeping_nan(hn::Sub(s, top)); }, p + at);
    map(
        ds + at, n,
        [mean, factor](VecF a, VecF b) HWY_ATTR { return hn::Mul(hn::Mul(a, factor), hn::Sub(b, mean)); },
        p + at, ds + at);
    clear_unseen(p, seen, tile.cols);
    clear_unseen(ds, seen, tile.cols);
  }
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {
namespace {

namespace dispatch {
HWY_EXPORT(softmax_tile);
HWY_EXPORT(finish_rows);
HWY_EXPORT(row_dots);
HWY_EXPORT(score_grad_tile);
}  // namespace dispatch

using In = HeadRows<const float>;
using Out = HeadRows<float>;

// Products of tiles on the calling thread: c = or += scale · a·b, for the extents of c and the depth k.
struct Products {
  float* scratch;
  std::int64_t rows, cols, depth;

  void run(const Out& c, const Left& a, const Right& b, Write write) const {
    const Term term{a, b, depth};
    gemm_inline({rows, cols, {&term, 1}, {c.data, c.pitch}, nullptr, write == Write::accumulate}, scratch);
  }
  // a (rows, depth) · b (cols, depth)ᵀ
  void dots(const Out& c, const In& a, const In& b, float scale) const {
    run(c, {Gather::plain(a.data, rows, depth, a.pitch)},
        Right::by_column(DType::f32, b.data, b.pitch, scale), Write::overwrite);
  }
  // a (rows, depth), a tile of scores, · b (depth, cols)
  void mix(const Out& c, const In& a, const In& b, Write write) const {
    run(c, {.rows = Gather::plain(a.data, rows, depth, kStripPitch), .in_place = true},
        Right::by_row(DType::f32, b.data, b.pitch), write);
  }
  // a (depth, rows)ᵀ · b (depth, cols)
  void spread(const Out& c, const In& a, const In& b) const {
    run(c, {Gather::plain(a.data, depth, rows, a.pitch), true}, Right::by_row(DType::f32, b.data, b.pitch),
        Write::accumulate);
  }
};

// Every part's scratch starts on a cache line of 16 floats, as packing wants it.
constexpr std::int64_t whole_lines(std::int64_t floats) { return (floats + 15) / 16 * 16; }

// Of a part: first that of its products, whose rows are queries or keys.
std::int64_t product_scratch(const AttentionTiles& t) { return gemm_scratch(std::max(t.queries, t.keys)); }

struct Scratch {  // of every part
  float* data;
  std::int64_t each;
};

// Calls body(task, scratch) for tasks 0 .. count-1; the ranges of parts are disjoint, so a range's first part
// lends its scratch.
struct Tasks {
  std::int64_t count, parts;
  double flops;  // of all
};
template <class Body>
void for_tasks(ThreadPool& pool, const Tasks& tasks, Scratch scratch, const Body& body) {
  pool.parallel_for(tasks.parts, attention_grain(tasks.flops, tasks.parts),
                    [&](std::int64_t begin, std::int64_t end) {
                      for (std::int64_t part = begin; part < end; ++part)
                        for (std::int64_t task = part; task < tasks.count; task += tasks.parts)
                          body(task, scratch.data + begin * scratch.each);
                    });
}

// One tile of queries of one head against all keys it sees.
void forward_task(const AttentionForward& a, std::int64_t task, float* scratch) {
  const AttentionSize& s = a.size;
  const QueryTile t = a.tiles.tile(s, task / s.heads);
  const std::int64_t lane = t.sample * s.heads + task % s.heads, rows = t.rows;
  const std::int64_t at = s.q_offset(lane, t.first), kv = s.kv_offset(lane);
  float* scores = scratch + product_scratch(a.tiles);
  float* top = scores + a.tiles.scores();
  float* sum = top + a.tiles.queries;
  std::fill(top, top + rows, -std::numeric_limits<float>::infinity());
  std::fill(sum, sum + rows, 0.0F);
  const Out o{a.o + at, s.q_pitch(), s.width};

  for (std::int64_t j = t.begin; j < t.end; j += a.tiles.keys) {
    const std::int64_t cols = std::min(a.tiles.keys, t.end - j), block = kv + j * s.kv_pitch();
    const Out p{scores, kStripPitch, cols};
    Products{scratch, rows, cols, s.width}.dots(p, {a.q + at, s.q_pitch(), s.width},
                                                {a.k + block, s.kv_pitch(), s.width}, s.scale);
    HWY_DYNAMIC_DISPATCH(dispatch::softmax_tile)({scores, rows, cols, j, s, t}, o, top, sum);
    Products{scratch, rows, s.width, cols}.mix(o, p.in(), {a.v + block, s.kv_pitch(), s.width},
                                               j == t.begin ? Write::overwrite : Write::accumulate);
  }
  HWY_DYNAMIC_DISPATCH(dispatch::finish_rows)(o, rows, a.lse + lane * s.queries + t.first, top, sum);
}

// One tile of queries of one head, against all keys it sees: its dq, and its share of dk and dv.
void backward_rows(const AttentionBackward& a, std::int64_t lane, const QueryTile& t, float* scratch) {
  const AttentionSize& s = a.size;
  const std::int64_t rows = t.rows, at = s.q_offset(lane, t.first), kv = s.kv_offset(lane);
  float* scores = scratch + product_scratch(a.tiles);
  float* d_scores = scores + a.tiles.scores();
  float* delta = d_scores + a.tiles.scores();
  const In q{a.q + at, s.q_pitch(), s.width}, d_o{a.d_o + at, s.q_pitch(), s.width};
  HWY_DYNAMIC_DISPATCH(dispatch::row_dots)(delta, d_o, {a.o + at, s.q_pitch(), s.width}, rows);

  for (std::int64_t j = t.begin; j < t.end; j += a.tiles.keys) {
    const std::int64_t cols = std::min(a.tiles.keys, t.end - j), block = kv + j * s.kv_pitch();
    const In k{a.k + block, s.kv_pitch(), s.width}, v{a.v + block, s.kv_pitch(), s.width};
    const Out p{scores, kStripPitch, cols}, ds{d_scores, kStripPitch, cols};
    const Products to_scores{scratch, rows, cols, s.width}, to_keys{scratch, cols, s.width, rows};
    to_scores.dots(p, q, k, s.scale);
    to_scores.dots(ds, d_o, v, 1);
    HWY_DYNAMIC_DISPATCH(dispatch::score_grad_tile)
    ({scores, rows, cols, j, s, t}, d_scores, a.lse + lane * s.queries + t.first, delta, s.scale);
    to_keys.spread({a.dv + block, s.kv_pitch(), s.width}, p.in(), d_o);
    to_keys.spread({a.dk + block, s.kv_pitch(), s.width}, ds.in(), q);
    Products{scratch, rows, s.width, cols}.mix({a.dq + at, s.q_pitch(), s.width}, ds.in(), k,
                                               j == t.begin ? Write::overwrite : Write::accumulate);
  }
}

// One key head of one sample, against all query heads that read it.
void backward_task(const AttentionBackward& a, std::int64_t task, float* scratch) {
  const AttentionSize& s = a.size;
  const std::int64_t first_lane = task * s.group(), kv = s.kv_offset(first_lane);
  for (std::int64_t j = 0; j < s.keys; ++j) {
    std::fill_n(a.dk + kv + j * s.kv_pitch(), s.width, 0.0F);
    std::fill_n(a.dv + kv + j * s.kv_pitch(), s.width, 0.0F);
  }
  const std::int64_t sample = task / s.kv_heads;
  const std::int64_t first = a.tiles.first_of(sample), past = a.tiles.first_of(sample + 1);
  for (std::int64_t lane = first_lane; lane < first_lane + s.group(); ++lane) {
    for (std::int64_t t = first; t < past; ++t) backward_rows(a, lane, a.tiles.tile(s, t), scratch);
  }
}

}  // namespace

std::int64_t attention_forward_scratch(const AttentionTiles& t) {
  return whole_lines(product_scratch(t) + t.scores() + 2 * t.queries);
}
std::int64_t attention_backward_scratch(const AttentionTiles& t) {
  return whole_lines(product_scratch(t) + 2 * t.scores() + t.queries);
}

void attention_forward(ThreadPool& pool, const AttentionForward& a) {
  const Tasks tasks{a.tiles.count * a.size.heads, a.tiles.parts, 2 * a.size.flops()};
  for_tasks(pool, tasks, {a.scratch, attention_forward_scratch(a.tiles)},
            [&a](std::int64_t task, float* scratch) { forward_task(a, task, scratch); });
}

void attention_backward(ThreadPool& pool, const AttentionBackward& a) {
  const Tasks tasks{a.size.samples * a.size.kv_heads, a.tiles.parts, 5 * a.size.flops()};
  for_tasks(pool, tasks, {a.scratch, attention_backward_scratch(a.tiles)},
            [&a](std::int64_t task, float* scratch) { backward_task(a, task, scratch); });
}

}  // namespace rankine::cpu
#endif
