// Copies of blocks of A and B into the order the inner loop reads: strips of A, panels of B. Included once
// per target.
#if defined(RANKINE_KERNELS_MATMUL_GEMM_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_MATMUL_GEMM_PACK_INL_H_
#undef RANKINE_KERNELS_MATMUL_GEMM_PACK_INL_H_
#else
#define RANKINE_KERNELS_MATMUL_GEMM_PACK_INL_H_
#endif

#include <type_traits>
#include <utility>

#include "kernels/matmul/gemm_block.h"
#include "kernels/matmul/gemm_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

using cpu::Axis;
using cpu::Gather;
using cpu::Range;
using cpu::Right;

HWY_INLINE void copy(float* HWY_RESTRICT y, const float* HWY_RESTRICT x, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(load(x + i), y + i);
  if (i < n) store_n(load_n(x + i, n - i), y + i, n - i);
}
HWY_INLINE void clear(float* y, std::int64_t n) {
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(set(0.0F), y + i);
  if (i < n) store_n(set(0.0F), y + i, n - i);
}

// Calls f(first element or null for zeros, count) for the runs of columns [cols) of one row of a gathered
// matrix.
template <class F>
HWY_INLINE void for_runs(const Gather& g, std::int64_t row, Range cols, const F& f) {
  const std::int64_t gx = row % g.x.grid, line = row / g.x.grid;
  const std::int64_t gy = line % g.y.grid, image = line / g.y.grid;
  const float* map = g.data + image * g.y.extent * g.x.extent * g.pitch;
  std::int64_t tap = cols.begin / g.channels, ch = cols.begin % g.channels;
  for (std::int64_t at = cols.begin; at < cols.end; ++tap, ch = 0) {
    const std::int64_t n = std::min(cols.end - at, g.channels - ch);
    const std::int64_t sy = gy * g.y.step + g.y.first + (tap / g.x.taps) * g.y.delta;
    const std::int64_t sx = gx * g.x.step + g.x.first + (tap % g.x.taps) * g.x.delta;
    const bool inside = sy >= 0 && sy < g.y.extent && sx >= 0 && sx < g.x.extent;
    f(inside ? map + (sy * g.x.extent + sx) * g.pitch + ch : nullptr, n);
    at += n;
  }
}
HWY_INLINE void gather_row(float* y, const Gather& g, std::int64_t row, Range cols) {
  for_runs(g, row, cols, [&](const float* x, std::int64_t n) HWY_ATTR {
    if (x)
      copy(y, x, n);
    else
      clear(y, n);
    y += n;
  });
}
// How elements are loaded: halves as their bits.
template <class T>
using Stored = std::conditional_t<sizeof(T) == 4, float, std::uint16_t>;

template <class T, class Bits>
HWY_INLINE VecF decode_bits(Bits bits) {
  const F32 d;
  if constexpr (std::is_same_v<T, float>) {
    return bits;
  } else if constexpr (std::is_same_v<T, Half>) {
    return hn::PromoteTo(d, hn::BitCast(hn::Rebind<hwy::float16_t, F32>(), bits));
  } else {
    return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<F32>(), bits)));
  }
}
template <class T>
HWY_INLINE VecF decode_vector(const Stored<T>* x) {
  return decode_bits<T>(hn::LoadU(hn::Rebind<Stored<T>, F32>(), x));
}
template <class T>
HWY_INLINE float decode_one(Stored<T> bits) {
  if constexpr (std::is_same_v<T, float>)
    return bits;
  else
    return to_float(T{bits});
}

#if HWY_TARGET != HWY_SCALAR
// Elements [at, at + 4) of every fourth row, one row per 128-bit block of the decoded vector.
template <class T>
HWY_INLINE VecF load_quads(const Stored<T>* const* rows, std::int64_t at) {
  using Quad = std::conditional_t<sizeof(T) == 4, hn::Full128<Stored<T>>, hn::Full64<Stored<T>>>;
  const Quad q;
  if constexpr (kLanes == 4) {
    return decode_bits<T>(hn::LoadU(q, rows[0] + at));
  } else {
    const hn::Twice<Quad> d2;
    const auto lo = hn::Combine(d2, hn::LoadU(q, rows[4] + at), hn::LoadU(q, rows[0] + at));
    if constexpr (kLanes == 8) {
      return decode_bits<T>(lo);
    } else {
      const auto hi = hn::Combine(d2, hn::LoadU(q, rows[12] + at), hn::LoadU(q, rows[8] + at));
      return decode_bits<T>(hn::Combine(hn::Twice<hn::Twice<Quad>>(), hi, lo));
    }
  }
}

// Elements [at, at + 4 kQuads) of all rows, by groups of four: a 4x4 transpose inside the blocks leaves whole
// columns.
template <int kQuads, bool kScaled, class T>
HWY_INLINE void transpose_some(float* HWY_RESTRICT y, std::int64_t width, const Stored<T>* const* rows,
                               std::int64_t at, float scale) {
  const F32 d;
  const VecF s = set(scale);
  VecF r[4][kQuads];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 4
    for (int q = 0; q < kQuads; ++q) {
      r[i][q] = load_quads<T>(rows + i, at + 4 * q);
      if constexpr (kScaled) r[i][q] = hn::Mul(s, r[i][q]);
    }
  }
#pragma GCC unroll 4
  for (int q = 0; q < kQuads; ++q, y += 4 * width) {
    const VecF t0 = hn::InterleaveLower(d, r[0][q], r[2][q]), t1 = hn::InterleaveUpper(d, r[0][q], r[2][q]);
    const VecF u0 = hn::InterleaveLower(d, r[1][q], r[3][q]), u1 = hn::InterleaveUpper(d, r[1][q], r[3][q]);
    hn::Store(hn::InterleaveLower(d, t0, u0), d, y);
    hn::Store(hn::InterleaveUpper(d, t0, u0), d, y + width);
    hn::Store(hn::InterleaveLower(d, t1, u1), d, y + 2 * width);
    hn::Store(hn::InterleaveUpper(d, t1, u1), d, y + 3 * width);
  }
}

// Transposes as many whole groups of four elements as there are; returns the number of elements done. Rows
// `ahead` elements further on are needed next.
template <bool kScaled, class T>
HWY_INLINE std::int64_t transpose_quads(float* HWY_RESTRICT y, std::int64_t width,
                                        const Stored<T>* const* rows, std::int64_t k, float scale,
                                        std::int64_t ahead) {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  constexpr int kQuads = kLanes == 16 ? 4 : 2;  // as many as registers hold
  std::int64_t i = 0;
  for (; i + 4 * kQuads <= k; i += 4 * kQuads) {
    if (ahead != 0 && i % kLine == 0) {
      for (int lane = 0; lane < kLanes; ++lane) hwy::Prefetch(rows[lane] + i + ahead);
    }
    transpose_some<kQuads, kScaled, T>(y + i * width, width, rows, i, scale);
  }
  for (; i + 4 <= k; i += 4) transpose_some<1, kScaled, T>(y + i * width, width, rows, i, scale);
  return i;
}
#else
template <bool kScaled, class T>
std::int64_t transpose_quads(float*, std::int64_t, const Stored<T>* const*, std::int64_t, float,
                             std::int64_t) {
  return 0;
}
#endif

// kLanes rows of K-contiguous elements become one panel vector per k: y[k * width + row].
template <bool kScaled, class T>
HWY_INLINE void transpose_panel(float* y, std::int64_t width, const Stored<T>* const* rows, std::int64_t k,
                                float scale, std::int64_t ahead) {
  for (std::int64_t i = transpose_quads<kScaled, T>(y, width, rows, k, scale, ahead); i < k; ++i) {
    for (int lane = 0; lane < kLanes; ++lane) y[i * width + lane] = scale * decode_one<T>(rows[lane][i]);
  }
}

// y (kLanes lines of pitch `width`) = the transpose of x (kLanes lines of kLanes).
HWY_INLINE void turn(float* y, std::int64_t width, const float* x) {
  const float* rows[kLanes];
  for (int i = 0; i < kLanes; ++i) rows[i] = x + i * kLanes;
  if constexpr (kLanes % 4 == 0)
    transpose_quads<false, float>(y, width, rows, kLanes, 1, 0);
  else
    transpose_panel<false, float>(y, width, rows, kLanes, 1, 0);
}

// Panels of kTileCols columns, the last one narrower when a single vector holds what is left.
HWY_INLINE std::int64_t panel_width(std::int64_t columns_left) {
  return columns_left <= kLanes ? kLanes : kTileCols;
}

// One term's rows [ks) of B, into panels of `depth` rows from row `at` on.
struct PanelBlock {
  float* data;
  std::int64_t depth, at;
  Range cols;
};

template <class T>
void pack_by_column(const PanelBlock& p, const Right& b, Range ks) {
  alignas(64) static constexpr Stored<T> kZeros[cpu::kBlockDepth] = {};
  const auto* base = static_cast<const Stored<T>*>(b.data) + ks.begin;
  float* panel = p.data;
  for (std::int64_t n = p.cols.begin; n < p.cols.end;) {
    const std::int64_t width = panel_width(p.cols.end - n);
    for (std::int64_t v = 0; v < width; v += kLanes) {
      const Stored<T>* rows[kLanes];
      for (std::int64_t i = 0; i < kLanes; ++i)
        rows[i] = n + v + i < p.cols.end ? base + (n + v + i) * b.pitch : kZeros;
      const std::int64_t ahead = n + v + 2 * kLanes <= p.cols.end ? kLanes * b.pitch : 0;
      transpose_panel<true, T>(panel + p.at * width + v, width, rows, ks.size(), b.scale, ahead);
    }
    panel += p.depth * width;
    n += width;
  }
}

// One row of B, from column cols.begin on, goes to its place in every panel.
template <class T>
HWY_INLINE void scatter_row(const PanelBlock& p, std::int64_t k, const Stored<T>* x, float scale) {
  const F32 d;
  const VecF s = set(scale);
  const std::int64_t n = p.cols.size();
  float* panel = p.data;
  for (std::int64_t at = 0; at < n;) {
    const std::int64_t width = panel_width(n - at);
    float* y = panel + (p.at + k) * width;
    for (std::int64_t v = 0; v < width; v += kLanes) {
      const std::int64_t left = n - at - v;
      if (left >= kLanes) {
        hn::Store(hn::Mul(s, decode_vector<T>(x + at + v)), d, y + v);
      } else {
        for (std::int64_t i = 0; i < kLanes; ++i)
          y[v + i] = i < left ? scale * decode_one<T>(x[at + v + i]) : 0.0F;
      }
    }
    panel += p.depth * width;
    at += width;
  }
}

// Where row k of B starts, in elements.
HWY_INLINE std::int64_t row_offset(const Right& b, std::int64_t k) {
  if (k < b.tap_rows) return b.first + k * b.pitch;  // the first tap, without divisions
  const std::int64_t tap = k / b.tap_rows;
  return b.first + (tap / b.taps_x) * b.tap_y + (tap % b.taps_x) * b.tap_x + (k % b.tap_rows) * b.pitch;
}

template <class T>
void pack_by_row(const PanelBlock& p, const Right& b, Range ks) {
  constexpr std::int64_t kAhead = 8;
  const auto* base = static_cast<const Stored<T>*>(b.data) + p.cols.begin;
  for (std::int64_t k = ks.begin; k < ks.end; ++k) {
    const auto* ahead = base + row_offset(b, std::min(k + kAhead, ks.end - 1));
    for (std::int64_t i = 0; i < p.cols.size(); i += static_cast<std::int64_t>(64 / sizeof(T)))
      hwy::Prefetch(ahead + i);
    scatter_row<T>(p, k - ks.begin, base + row_offset(b, k), b.scale);
  }
}

HWY_INLINE void pack_gathered(const PanelBlock& p, const Right& b, Range ks, float* row) {
  for (std::int64_t k = ks.begin; k < ks.end; ++k) {
    gather_row(row, b.gather, k, p.cols);
    scatter_row<float>(p, k - ks.begin, row, 1);
  }
}

template <class T>
void pack_right(const PanelBlock& p, const Right& b, Range ks, float* row) {
  if (b.order == Right::Order::by_column)
    pack_by_column<T>(p, b, ks);
  else if (b.order == Right::Order::by_row)
    pack_by_row<T>(p, b, ks);
  else
    pack_gathered(p, b, ks, row);
}

// Where the rows of a strip read: their map and the source coordinates of tap (0, 0).
struct StripRows {
  const float* map[kStripWidth];
  std::int64_t y[kStripWidth], x[kStripWidth];
};
HWY_INLINE StripRows strip_rows(const Gather& g, Range rows) {
  StripRows s;
  for (std::int64_t m = rows.begin; m < rows.end; ++m) {
    const std::int64_t i = m - rows.begin;
    if (g.is_plain()) {  // without divisions
      s.map[i] = g.data;
      s.y[i] = 0;
      s.x[i] = m;
      continue;
    }
    const std::int64_t gx = m % g.x.grid, line = m / g.x.grid;
    s.map[i] = g.data + line / g.y.grid * g.y.extent * g.x.extent * g.pitch;
    s.y[i] = line % g.y.grid * g.y.step + g.y.first;
    s.x[i] = gx * g.x.step + g.x.first;
  }
  return s;
}

// Rows [rows) and columns [ks) of A as rows of pitch kStripPitch.
HWY_INLINE void pack_rows(float* strip, const cpu::Left& a, Range rows, Range ks) {
  const bool plain = a.rows.is_plain();
  for (std::int64_t m = rows.begin; m < rows.end; ++m, strip += kStripPitch) {
    if (plain)
      copy(strip, a.rows.data + m * a.rows.pitch + ks.begin, ks.size());  // without the divisions of a gather
    else
      gather_row(strip, a.rows, m, ks);
  }
}

// The same as lines of kStripWidth rows, one per k.
HWY_INLINE void pack_lines(float* strip, const cpu::Left& a, Range rows, Range ks) {
  const Gather& g = a.rows;
  if (a.transposed) {
    for (std::int64_t k = ks.begin; k < ks.end; ++k, strip += kStripWidth) {
      const float* x = g.data + k * g.pitch + rows.begin;
      for (std::int64_t v = 0; v < rows.size(); v += kLanes)
        store(load_up_to(x + v, rows.size() - v), strip + v);
    }
    return;
  }
  alignas(64) static constexpr float kZeros[cpu::kBlockDepth] = {};
  const StripRows s = strip_rows(g, rows);
  std::int64_t tap = ks.begin / g.channels, ch = ks.begin % g.channels;
  for (std::int64_t k = ks.begin; k < ks.end; ++tap, ch = 0) {
    const std::int64_t n = std::min(ks.end - k, g.channels - ch);
    const std::int64_t dy = tap / g.x.taps * g.y.delta, dx = tap % g.x.taps * g.x.delta;
    const float* from[kStripWidth];
    for (std::int64_t i = 0; i < kStripWidth; ++i) {
      const std::int64_t y = s.y[i] + dy, x = s.x[i] + dx;
      const bool inside = i < rows.size() && y >= 0 && y < g.y.extent && x >= 0 && x < g.x.extent;
      from[i] = inside ? s.map[i] + (y * g.x.extent + x) * g.pitch + ch : kZeros;
    }
    for (std::int64_t v = 0; v < rows.size(); v += kLanes)
      transpose_panel<false, float>(strip + v, kStripWidth, from + v, n, 1, 0);
    strip += n * kStripWidth;
    k += n;
  }
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
