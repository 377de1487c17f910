#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention_impl.h"
#include "kernels/matmul/gemm.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

// Highway's Exp takes NaN to 0; a diverged run must not look healthy.
HWY_INLINE VecF exp_keeping_nan(VecF x) { return hn::IfThenElse(hn::IsNaN(x), x, hn::Exp(F32(), x)); }

HWY_INLINE float row_max(const float* x, std::int64_t n, float top) {
  const F32 d;
  VecF most = set(top);
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) most = hn::Max(load(x + i), most);
  for (; i < n; ++i) top = std::max(top, x[i]);
  return std::max(top, hn::GetLane(hn::MaxOfLanes(d, most)));
}

// x = exp(x - top) on the first n elements; returns their sum.
HWY_INLINE float exp_row(float* x, std::int64_t n, float top) {
  const VecF shift = set(top);
  VecF sum = set(0.0F);
  std::int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) {
    const VecF e = exp_keeping_nan(hn::Sub(load(x + i), shift));
    store(e, x + i);
    sum = hn::Add(sum, e);
  }
  if (i < n) {
    const VecF e = first_n(exp_keeping_nan(hn::Sub(load_n(x + i, n - i), shift)), n - i);
    store_n(e, x + i, n - i);
    sum = hn::Add(sum, e);
  }
  return sum_lanes(sum);
}

HWY_INLINE void scale_row(float* x, std::int64_t n, float s) {
  map(
      x, n, [f = set(s)](VecF a) HWY_ATTR { return hn::Mul(a, f); }, x);
}

// Online softmax: scores become exp(score - running maximum); what o and sum held is brought to the new
// maximum.
void softmax_tile(const cpu::ScoreTile& tile, const cpu::HeadRows<float>& o, float* top, float* sum) {
  for (std::int64_t r = 0; r < tile.rows; ++r) {
    float* row = tile.scores + r * tile.cols;
    const std::int64_t n = tile.seen(r);
    const float before = top[r];
    top[r] = row_max(row, n, before);
    const float add = exp_row(row, n, top[r]);
    std::fill(row + n, row + tile.cols, 0.0F);
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
    float* p = tile.scores + r * tile.cols;
    float* ds = dp + r * tile.cols;
    const std::int64_t n = tile.seen(r);
    const VecF top = set(lse[r]);
    const VecF mean = set(delta[r]);
    const VecF factor = set(scale);
    map(
        p, n, [top](VecF s) HWY_ATTR { return exp_keeping_nan(hn::Sub(s, top)); }, p);
    map(
        ds, n,
        [mean, factor](VecF a, VecF b) HWY_ATTR { return hn::Mul(hn::Mul(a, factor), hn::Sub(b, mean)); }, p,
        ds);
    std::fill(p + n, p + tile.cols, 0.0F);
    std::fill(ds + n, ds + tile.cols, 0.0F);
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
  // a (rows, depth) · b (depth, cols)
  void mix(const Out& c, const In& a, const In& b, Write write) const {
    run(c, {Gather::plain(a.data, rows, depth, a.pitch)}, Right::by_row(DType::f32, b.data, b.pitch), write);
  }
  // a (depth, rows)ᵀ · b (depth, cols)
  void spread(const Out& c, const In& a, const In& b) const {
    run(c, {Gather::plain(a.data, depth, rows, a.pitch), true}, Right::by_row(DType::f32, b.data, b.pitch),
        Write::accumulate);
  }
};

// FLOPs worth waking another thread for.
constexpr double kFlopsPerThread = 2e6;

// Every part's scratch starts on a cache line of 16 floats, as packing wants it.
constexpr std::int64_t whole_lines(std::int64_t floats) { return (floats + 15) / 16 * 16; }

struct Scratch {  // of every part
  float* data;
  std::int64_t each;
};

// Calls body(task, scratch) for every task; the ranges of parts are disjoint, so a range's first part lends
// its scratch.
template <class Body>
void for_tasks(ThreadPool& pool, const AttentionTiles& tiles, double flops, Scratch scratch,
               const Body& body) {
  const double part_flops = flops / double(std::max<std::int64_t>(1, tiles.parts));
  const auto grain = static_cast<std::int64_t>(std::ceil(kFlopsPerThread / std::max(1.0, part_flops)));
  pool.parallel_for(tiles.parts, grain, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t part = begin; part < end; ++part)
      for (std::int64_t task = part; task < tiles.tasks; task += tiles.parts)
        body(task, scratch.data + begin * scratch.each);
  });
}

// One tile of queries of one head against all keys it sees.
void forward_task(const AttentionForward& a, std::int64_t task, float* scratch) {
  const AttentionSize& s = a.size;
  const std::int64_t lanes = s.samples * s.heads;
  const std::int64_t first = task / lanes * a.tiles.queries, lane = task % lanes;
  const std::int64_t rows = std::min(a.tiles.queries, s.queries - first);
  const std::int64_t at = s.q_offset(lane, first), kv = s.kv_offset(lane);
  float* scores = scratch + kGemmScratch;
  float* top = scores + a.tiles.scores();
  float* sum = top + a.tiles.queries;
  std::fill(top, top + rows, -std::numeric_limits<float>::infinity());
  std::fill(sum, sum + rows, 0.0F);
  const Out o{a.o + at, s.q_pitch(), s.width};

  const std::int64_t last = s.visible(first + rows - 1);
  for (std::int64_t j = 0; j < last; j += a.tiles.keys) {
    const std::int64_t cols = std::min(a.tiles.keys, last - j), block = kv + j * s.kv_pitch();
    const Out p{scores, cols, cols};
    Products{scratch, rows, cols, s.width}.dots(p, {a.q + at, s.q_pitch(), s.width},
                                                {a.k + block, s.kv_pitch(), s.width}, s.scale);
    const ScoreTile tile{scores, rows, cols, s.visible(first) - j, s.causal};
    HWY_DYNAMIC_DISPATCH(dispatch::softmax_tile)(tile, o, top, sum);
    Products{scratch, rows, s.width, cols}.mix(o, p.in(), {a.v + block, s.kv_pitch(), s.width},
                                               j == 0 ? Write::overwrite : Write::accumulate);
  }
  HWY_DYNAMIC_DISPATCH(dispatch::finish_rows)(o, rows, a.lse + lane * s.queries + first, top, sum);
}

// One tile of queries of one head, against all keys it sees: its dq, and its share of dk and dv.
void backward_rows(const AttentionBackward& a, std::int64_t lane, std::int64_t first, float* scratch) {
  const AttentionSize& s = a.size;
  const std::int64_t rows = std::min(a.tiles.queries, s.queries - first);
  const std::int64_t at = s.q_offset(lane, first), kv = s.kv_offset(lane);
  float* scores = scratch + kGemmScratch;
  float* d_scores = scores + a.tiles.scores();
  float* delta = d_scores + a.tiles.scores();
  const In q{a.q + at, s.q_pitch(), s.width}, d_o{a.d_o + at, s.q_pitch(), s.width};
  HWY_DYNAMIC_DISPATCH(dispatch::row_dots)(delta, d_o, {a.o + at, s.q_pitch(), s.width}, rows);

  const std::int64_t last = s.visible(first + rows - 1);
  for (std::int64_t j = 0; j < last; j += a.tiles.keys) {
    const std::int64_t cols = std::min(a.tiles.keys, last - j), block = kv + j * s.kv_pitch();
    const In k{a.k + block, s.kv_pitch(), s.width}, v{a.v + block, s.kv_pitch(), s.width};
    const Out p{scores, cols, cols}, ds{d_scores, cols, cols};
    const Products to_scores{scratch, rows, cols, s.width}, to_keys{scratch, cols, s.width, rows};
    to_scores.dots(p, q, k, s.scale);
    to_scores.dots(ds, d_o, v, 1);
    const ScoreTile tile{scores, rows, cols, s.visible(first) - j, s.causal};
    HWY_DYNAMIC_DISPATCH(dispatch::score_grad_tile)
    (tile, d_scores, a.lse + lane * s.queries + first, delta, s.scale);
    to_keys.spread({a.dv + block, s.kv_pitch(), s.width}, p.in(), d_o);
    to_keys.spread({a.dk + block, s.kv_pitch(), s.width}, ds.in(), q);
    Products{scratch, rows, s.width, cols}.mix({a.dq + at, s.q_pitch(), s.width}, ds.in(), k,
                                               j == 0 ? Write::overwrite : Write::accumulate);
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
  for (std::int64_t lane = first_lane; lane < first_lane + s.group(); ++lane) {
    for (std::int64_t first = 0; first < s.queries; first += a.tiles.queries)
      backward_rows(a, lane, first, scratch);
  }
}

}  // namespace

std::int64_t attention_forward_scratch(const AttentionTiles& t) {
  return whole_lines(kGemmScratch + t.scores() + 2 * t.queries);
}
std::int64_t attention_backward_scratch(const AttentionTiles& t) {
  return whole_lines(kGemmScratch + 2 * t.scores() + t.queries);
}

void attention_forward(ThreadPool& pool, const AttentionForward& a) {
  const double flops = 2 * a.size.head_flops() * double(a.size.samples * a.size.heads);
  for_tasks(pool, a.tiles, flops, {a.scratch, attention_forward_scratch(a.tiles)},
            [&a](std::int64_t task, float* scratch) { forward_task(a, task, scratch); });
}

void attention_backward(ThreadPool& pool, const AttentionBackward& a) {
  const double flops = 5 * a.size.head_flops() * double(a.size.samples * a.size.heads);
  for_tasks(pool, a.tiles, flops, {a.scratch, attention_backward_scratch(a.tiles)},
            [&a](std::int64_t task, float* scratch) { backward_task(a, task, scratch); });
}

}  // namespace rankine::cpu
#endif
