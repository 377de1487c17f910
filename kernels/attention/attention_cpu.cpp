#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/attention_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention/attention_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/attention/softmax-inl.h"
#include "kernels/matmul/gemm_packed-inl.h"

// Scores are made transposed, a line of queries per key, kStripPitch apart. So each row's softmax is a column
// of lanes, and all products read the scores where they lie: as the right side of Oᵀ = Vᵀ Pᵀ and dQᵀ = Kᵀ
// dSᵀ, as the left side of dV = Pᵀ dO and dK = dSᵀ Q.

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::AttentionRoom;
using cpu::Left;

struct Block {
  std::int64_t first, size;  // keys
};

// The rows of a block's scores that each lane of a vector of queries sees.
struct Seen {
  VecF begin, end;
  std::int64_t all_from = 0, all_to, last = 0;  // rows that every lane sees; behind the last that any sees

  Seen() = default;
  // Of queries [first, first + kLanes) of the tile; lanes behind its last row are as that one.
  Seen(const AttentionSize& s, const QueryTile& t, std::int64_t first, const Block& block)
      : all_to(block.size) {
    HWY_ALIGN float from[kLanes], to[kLanes];
    for (std::int64_t i = 0; i < kLanes; ++i) {
      const KeyRange keys = s.seen(t.sample, t.first + std::min<std::int64_t>(first + i, t.rows - 1));
      const auto row = [&](std::int64_t key) {
        return std::clamp<std::int64_t>(key - block.first, 0, block.size);
      };
      from[i] = static_cast<float>(row(keys.begin));
      to[i] = static_cast<float>(row(keys.end));
      all_from = std::max(all_from, row(keys.begin));
      all_to = std::min(all_to, row(keys.end));
      last = std::max(last, row(keys.end));
    }
    begin = load(from);
    end = load(to);
  }
  bool all(std::int64_t rows) const { return all_from == 0 && all_to >= rows; }
  // `v` where row r is seen, else `other`.
  HWY_INLINE VecF select(std::int64_t r, VecF v, VecF other) const {
    const VecF row = set(static_cast<float>(r));
    return hn::IfThenElse(hn::And(hn::Ge(row, begin), hn::Lt(row, end)), v, other);
  }
};

// A panel of a tile of queries, whole vectors wide, and the rows of a block's scores that it needs: keys that
// none of its queries sees are left out.
struct Panel {
  std::int64_t first, cols, rows = 0;
  Seen seen[kTileCols / kLanes];

  Panel(const AttentionSize& s, const QueryTile& t, std::int64_t at, const Block& block)
      : first(at), cols(panel_width(t.rows - at)) {
    for (std::int64_t v = 0; v < cols / kLanes; ++v) {
      seen[v] = Seen(s, t, first + v * kLanes, block);
      rows = std::max(rows, seen[v].last);
    }
  }
};

// Folds f(sum so far, row) over the rows of a column of lanes, in four chains by the row's number, and those
// by `join`.
template <class F, class Join>
HWY_INLINE VecF fold_rows(std::int64_t rows, VecF start, const F& f, const Join& join) {
  VecF a[4] = {start, start, start, start};
  std::int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) a[i] = f(a[i], r + i);
  }
  for (int i = 0; r < rows; ++r, ++i) a[i] = f(a[i], r);
  return join(join(a[0], a[1]), join(a[2], a[3]));
}

// Online softmax of a column of lanes: scores become exp(score - running maximum), the factor for what has
// been summed so far is returned.
template <bool kAll>
HWY_INLINE VecF softmax_column(float* scores, std::int64_t rows, const Seen& seen, float* top, float* sum) {
  const VecF before = load(top);
  const VecF most = fold_rows(
      rows, before,
      [&](VecF m, std::int64_t r) HWY_ATTR {
        const VecF larger = hn::Max(load(scores + r * kStripPitch), m);
        return kAll ? larger : seen.select(r, larger, m);
      },
      [](VecF a, VecF b) HWY_ATTR { return hn::Max(a, b); });
  const VecF added = fold_rows(
      rows, set(0.0F),
      [&](VecF total, std::int64_t r) HWY_ATTR {
        float* at = scores + r * kStripPitch;
        VecF e = exp_below_88(hn::Sub(load(at), most));
        if constexpr (!kAll) e = seen.select(r, e, set(0.0F));
        store(e, at);
        return hn::Add(total, e);
      },
      [](VecF a, VecF b) HWY_ATTR { return hn::Add(a, b); });
  // Rows that have seen nothing yet are not rescaled: their maximum is no number to subtract.
  const VecF factor = hn::IfThenElse(hn::Eq(before, most), set(1.0F), exp_below_88(hn::Sub(before, most)));
  store(most, top);
  store(hn::MulAdd(load(sum), factor, added), sum);
  return factor;
}

// scores -> p = exp(score - lse); dp -> ds = scale p (dp - delta). Both 0 where unseen.
template <bool kAll>
HWY_INLINE void score_grad_column(float* scores, float* d_scores, std::int64_t rows, const Seen& seen,
                                  const float* lse, const float* delta, float scale) {
  const VecF top = load(lse), mean = load(delta), factor = set(scale);
  for (std::int64_t r = 0; r < rows; ++r) {
    float *p = scores + r * kStripPitch, *dp = d_scores + r * kStripPitch;
    VecF y = exp_below_88(hn::Sub(load(p), top));
    VecF dy = hn::Mul(hn::Mul(y, factor), hn::Sub(load(dp), mean));
    if constexpr (!kAll) {
      y = seen.select(r, y, set(0.0F));
      dy = seen.select(r, dy, set(0.0F));
    }
    store(y, p);
    store(dy, dp);
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

// y (rows, width) = xᵀ, of lines kept `pitch` apart, times a factor per row.
void write_transposed(const cpu::HeadRows<float>& y, std::int64_t rows, const float* x, std::int64_t pitch,
                      const float* factors) {
  HWY_ALIGN float square[kLanes * kLanes] = {};
  HWY_ALIGN float turned[kLanes * kLanes];
  for (std::int64_t r = 0; r < rows; r += kLanes) {
    const VecF factor = factors ? load(factors + r) : set(1.0F);
    for (std::int64_t at = 0; at < y.width; at += kLanes) {
      const std::int64_t n = std::min<std::int64_t>(kLanes, y.width - at);
      for (std::int64_t i = 0; i < n; ++i)
        store(hn::Mul(factor, load(x + (at + i) * pitch + r)), square + i * kLanes);
      turn(turned, kLanes, square);
      for (std::int64_t i = 0; i < std::min<std::int64_t>(kLanes, rows - r); ++i)
        store_up_to(load(turned + i * kLanes), y.row(r + i) + at, n);
    }
  }
}

// Calls f(block) for the keys that a tile of queries sees.
template <class F>
HWY_INLINE void for_blocks(const QueryTile& t, const F& f) {
  for (std::int64_t j = t.begin; j < t.end; j += AttentionTiles::kKeys)
    f(Block{j, std::min(AttentionTiles::kKeys, t.end - j)});
}

// out (the panel's rows, its queries) = strips · panel: scores, or their gradients before softmax's.
void make_scores(const Panel& p, const AttentionSize& s, const AttentionRoom& room, const float* strips,
                 const float* panels, float* out) {
  const float* panel = panels + p.first * room.width_depth;
  multiply_packed({TileLayout::lines,
                   {strips, s.width},
                   {panel, room.width_depth},
                   p.rows,
                   p.cols,
                   {0, s.width},
                   {out + p.first, kStripPitch},
                   Write::overwrite});
}

// Oᵀ or dQᵀ of the panel = or += strips of D over the block's keys · scores or their gradients.
void sum_over_keys(const Panel& p, const AttentionSize& s, const AttentionRoom& room, const Block& block,
                   const float* strips, const float* scores, Write write) {
  multiply_packed({TileLayout::lines_in_place,
                   {strips, block.size},
                   {scores + p.first},
                   s.width,
                   p.cols,
                   {0, p.rows},
                   {room.turned + p.first, room.pitch},
                   write});
}

Left rows_of(const float* x, std::int64_t rows, std::int64_t cols, std::int64_t pitch) {
  return {Gather::plain(x, rows, cols, pitch)};
}
Left columns_of(const float* x, std::int64_t rows, std::int64_t cols, std::int64_t pitch) {
  return {Gather::plain(x, rows, cols, pitch), true};
}

}  // namespace

// One tile of queries of one head against all keys it sees.
void forward_task(const AttentionForward& a, std::int64_t task, float* scratch) {
  const AttentionSize& s = a.size;
  const QueryTile t = a.tiles.tile(s, task / s.heads);
  const std::int64_t lane = t.sample * s.heads + task % s.heads, rows = t.rows, width = s.width;
  const std::int64_t at = s.q_offset(lane, t.first), kv = s.kv_offset(lane);
  const AttentionRoom room = AttentionRoom::of_forward(a.tiles, width, scratch);
  std::fill_n(room.top, room.pitch, -std::numeric_limits<float>::infinity());
  std::fill_n(room.sum, room.pitch, 0.0F);
  pack_panels(room.q_columns, Right::by_column(DType::f32, a.q + at, s.q_pitch(), s.scale), width, rows,
              room.width_depth);

  for_blocks(t, [&](const Block& block) HWY_ATTR {
    const std::int64_t from = kv + block.first * s.kv_pitch();
    pack_strips(room.k_rows, rows_of(a.k + from, block.size, width, s.kv_pitch()), block.size, width);
    pack_strips(room.v_columns, columns_of(a.v + from, block.size, width, s.kv_pitch()), width, block.size);
    for (std::int64_t first = 0; first < rows; first += kTileCols) {
      const Panel p(s, t, first, block);
      float *scores = room.scores + first, *sums = room.turned + first;
      make_scores(p, s, room, room.k_rows, room.q_columns, room.scores);
      for (std::int64_t v = 0; v < p.cols; v += kLanes) {
        const Seen& seen = p.seen[v / kLanes];
        float *top = room.top + first + v, *sum = room.sum + first + v;
        const VecF factor = seen.all(p.rows) ? softmax_column<true>(scores + v, p.rows, seen, top, sum)
                                             : softmax_column<false>(scores + v, p.rows, seen, top, sum);
        if (block.first == t.begin || hn::AllTrue(F32(), hn::Eq(factor, set(1.0F)))) continue;
        for (std::int64_t i = 0; i < width; ++i) {
          float* y = sums + i * room.pitch + v;
          store(hn::Mul(factor, load(y)), y);
        }
      }
      sum_over_keys(p, s, room, block, room.v_columns, room.scores,
                    block.first == t.begin ? Write::overwrite : Write::accumulate);
    }
  });
  float* lse = a.lse + lane * s.queries + t.first;
  for (std::int64_t r = 0; r < rows; ++r) {
    lse[r] = room.top[r] + std::log(room.sum[r]);
    room.sum[r] = 1.0F / room.sum[r];
  }
  write_transposed({a.o + at, s.q_pitch(), width}, rows, room.turned, room.pitch, room.sum);
}

namespace {

// The scores of a panel and their gradients.
void score_grads(const AttentionBackward& a, const Panel& p, const AttentionRoom& room) {
  make_scores(p, a.size, room, room.k_rows, room.q_columns, room.scores);
  make_scores(p, a.size, room, room.v_rows, room.d_o_columns, room.d_scores);
  float *scores = room.scores + p.first, *d_scores = room.d_scores + p.first;
  for (std::int64_t v = 0; v < p.cols; v += kLanes) {
    const Seen& seen = p.seen[v / kLanes];
    const float *lse = room.top + p.first + v, *delta = room.sum + p.first + v;
    if (seen.all(p.rows))
      score_grad_column<true>(scores + v, d_scores + v, p.rows, seen, lse, delta, a.size.scale);
    else
      score_grad_column<false>(scores + v, d_scores + v, p.rows, seen, lse, delta, a.size.scale);
  }
}

// One tile of queries of one head, against all keys it sees: its dq, and its share of dk and dv.
void backward_tile(const AttentionBackward& a, std::int64_t lane, const QueryTile& t,
                   const AttentionRoom& room) {
  const AttentionSize& s = a.size;
  const std::int64_t rows = t.rows, width = s.width, q_pitch = s.q_pitch(), kv_pitch = s.kv_pitch();
  const std::int64_t at = s.q_offset(lane, t.first), kv = s.kv_offset(lane);
  row_dots(room.sum, {a.d_o + at, q_pitch, width}, {a.o + at, q_pitch, width}, rows);
  std::copy_n(a.lse + lane * s.queries + t.first, rows, room.top);
  pack_panels(room.q_columns, Right::by_column(DType::f32, a.q + at, q_pitch, s.scale), width, rows,
              room.width_depth);
  pack_panels(room.d_o_columns, Right::by_column(DType::f32, a.d_o + at, q_pitch), width, rows,
              room.width_depth);
  pack_panels(room.q_rows, Right::by_row(DType::f32, a.q + at, q_pitch), rows, width, room.rows_depth);
  pack_panels(room.d_o_rows, Right::by_row(DType::f32, a.d_o + at, q_pitch), rows, width, room.rows_depth);

  for_blocks(t, [&](const Block& block) HWY_ATTR {
    const std::int64_t from = kv + block.first * kv_pitch;
    pack_strips(room.k_rows, rows_of(a.k + from, block.size, width, kv_pitch), block.size, width);
    pack_strips(room.v_rows, rows_of(a.v + from, block.size, width, kv_pitch), block.size, width);
    pack_strips(room.k_columns, columns_of(a.k + from, block.size, width, kv_pitch), width, block.size);
    std::int64_t begin = rows;  // the first query that sees any of these keys, by panels
    for (std::int64_t first = 0; first < rows; first += kTileCols) {
      const Panel p(s, t, first, block);
      if (p.rows > 0) begin = std::min(begin, first);
      score_grads(a, p, room);
      for (std::int64_t r = p.rows; r < block.size; ++r) {
        clear(room.scores + r * kStripPitch + first, p.cols);
        clear(room.d_scores + r * kStripPitch + first, p.cols);
      }
      sum_over_keys(p, s, room, block, room.k_columns, room.d_scores,
                    block.first == t.begin ? Write::overwrite : Write::accumulate);
    }
    const auto add_to_keys = [&](float* grad, const float* scores, const float* panels) HWY_ATTR {
      multiply_packed({TileLayout::rows,
                       {scores},
                       {panels, room.rows_depth},
                       block.size,
                       width,
                       {begin, rows},
                       {grad + from, kv_pitch},
                       Write::accumulate});
    };
    add_to_keys(a.dv, room.scores, room.d_o_rows);
    add_to_keys(a.dk, room.d_scores, room.q_rows);
  });
  write_transposed({a.dq + at, q_pitch, width}, rows, room.turned, room.pitch, nullptr);
}

}  // namespace

// One key head of one sample, against all query heads that read it.
void backward_task(const AttentionBackward& a, std::int64_t task, float* scratch) {
  const AttentionSize& s = a.size;
  const std::int64_t first_lane = task * s.group(), kv = s.kv_offset(first_lane);
  for (std::int64_t j = 0; j < s.keys; ++j) {
    std::fill_n(a.dk + kv + j * s.kv_pitch(), s.width, 0.0F);
    std::fill_n(a.dv + kv + j * s.kv_pitch(), s.width, 0.0F);
  }
  const AttentionRoom room = AttentionRoom::of_backward(a.tiles, s.width, scratch);
  // Lanes behind the last row of a tile read these.
  std::fill_n(room.top, room.pitch, 0.0F);
  std::fill_n(room.sum, room.pitch, 0.0F);
  const std::int64_t sample = task / s.kv_heads;
  const std::int64_t first = a.tiles.first_of(sample), past = a.tiles.first_of(sample + 1);
  for (std::int64_t lane = first_lane; lane < first_lane + s.group(); ++lane) {
    for (std::int64_t t = first; t < past; ++t) backward_tile(a, lane, a.tiles.tile(s, t), room);
  }
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {
namespace {

namespace dispatch {
HWY_EXPORT(forward_task);
HWY_EXPORT(backward_task);
}  // namespace dispatch

// Hands out parts of scratch, each from a cache line of 16 floats on, and counts them.
struct Carver {
  float* data;
  std::int64_t floats = 0;

  float* take(std::int64_t count) {
    float* part = data ? data + floats : nullptr;
    floats += (count + 15) / 16 * 16;
    return part;
  }
};

std::int64_t whole_panels(std::int64_t n) { return (n + kBlockUnit - 1) / kBlockUnit * kBlockUnit; }

// Parts that both directions need.
AttentionRoom room_of(const AttentionTiles& t, std::int64_t width, Carver& carver) {
  AttentionRoom room;
  const std::int64_t queries = whole_panels(t.queries);
  room.pitch = queries + 16;
  room.width_depth = width + kPanelGap;
  room.rows_depth = t.queries + kPanelGap;
  room.q_columns = carver.take(queries * room.width_depth);
  room.k_rows = carver.take(strip_scratch(t.keys, width));
  room.scores = carver.take(t.keys * kStripPitch);
  room.turned = carver.take(width * room.pitch);
  room.top = carver.take(room.pitch);
  room.sum = carver.take(room.pitch);
  return room;
}
AttentionRoom forward_room(const AttentionTiles& t, std::int64_t width, Carver& carver) {
  AttentionRoom room = room_of(t, width, carver);
  room.v_columns = carver.take(strip_scratch(width, t.keys));
  return room;
}
AttentionRoom backward_room(const AttentionTiles& t, std::int64_t width, Carver& carver) {
  AttentionRoom room = room_of(t, width, carver);
  room.d_o_columns = carver.take(whole_panels(t.queries) * room.width_depth);
  room.q_rows = carver.take(whole_panels(width) * room.rows_depth);
  room.d_o_rows = carver.take(whole_panels(width) * room.rows_depth);
  room.v_rows = carver.take(strip_scratch(t.keys, width));
  room.k_columns = carver.take(strip_scratch(width, t.keys));
  room.d_scores = carver.take(t.keys * kStripPitch);
  return room;
}

// Calls body(task, scratch) for `count` tasks that make `flops` together; `scratch` has room for as many as
// run at the same time.
struct Tasks {
  std::int64_t count;
  double flops;
  float* scratch;
  std::int64_t each;  // floats of scratch
};
template <class Body>
void for_tasks(ThreadPool& pool, const Tasks& tasks, const Body& body) {
  if (useful_threads(tasks.flops, pool.size()) == 1) {
    for (std::int64_t i = 0; i < tasks.count; ++i) body(i, tasks.scratch);
    return;
  }
  pool.parallel_tasks(tasks.count,
                      [&](std::int64_t i, int slot) { body(i, tasks.scratch + slot * tasks.each); });
}

}  // namespace

AttentionRoom AttentionRoom::of_forward(const AttentionTiles& t, std::int64_t width, float* scratch) {
  Carver carver{scratch};
  return forward_room(t, width, carver);
}
AttentionRoom AttentionRoom::of_backward(const AttentionTiles& t, std::int64_t width, float* scratch) {
  Carver carver{scratch};
  return backward_room(t, width, carver);
}

std::int64_t attention_forward_scratch(const AttentionTiles& t, std::int64_t width) {
  Carver carver{nullptr};
  forward_room(t, width, carver);
  return carver.floats;
}
std::int64_t attention_backward_scratch(const AttentionTiles& t, std::int64_t width) {
  Carver carver{nullptr};
  backward_room(t, width, carver);
  return carver.floats;
}

void attention_forward(ThreadPool& pool, const AttentionForward& a) {
  for_tasks(pool,
            {a.tiles.count * a.size.heads, 2 * a.size.flops(), a.scratch,
             attention_forward_scratch(a.tiles, a.size.width)},
            [&a](std::int64_t task, float* scratch) {
              HWY_DYNAMIC_DISPATCH(dispatch::forward_task)(a, task, scratch);
            });
}

void attention_backward(ThreadPool& pool, const AttentionBackward& a) {
  for_tasks(pool,
            {a.size.samples * a.size.kv_heads, 5 * a.size.flops(), a.scratch,
             attention_backward_scratch(a.tiles, a.size.width)},
            [&a](std::int64_t task, float* scratch) {
              HWY_DYNAMIC_DISPATCH(dispatch::backward_task)(a, task, scratch);
            });
}

}  // namespace rankine::cpu
#endif
