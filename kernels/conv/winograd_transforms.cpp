#include "kernels/conv/winograd_impl.h"

#include "kernels/common/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_transforms.cpp"
#include <hwy/foreach_target.h>

#include <hwy/cache_control.h>

#include <type_traits>

#include "kernels/matmul/gemm_pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::kWinogradPlanes;
using cpu::Span64;
using cpu::WinogradArgs;
using cpu::WinogradChunk;
using cpu::WinogradSizes;

constexpr std::int64_t kSquare = std::int64_t{kLanes} * kLanes;  // floats of a transposed block

HWY_INLINE VecF add(VecF a, VecF b) { return hn::Add(a, b); }
HWY_INLINE VecF sub(VecF a, VecF b) { return hn::Sub(a, b); }

struct Tile2x2 {
  std::int64_t image, y, x;  // first output pixel
};
HWY_INLINE Tile2x2 tile_at(const WinogradSizes& s, std::int64_t tile) {
  const std::int64_t line = tile / s.tiles_x();
  return {line / s.tiles_y(), line % s.tiles_y() * 2, tile % s.tiles_x() * 2};
}

// Bᵀ d B of one vector of channels; at[i] is null where the tile hangs over the edge. Writes whole vectors.
HWY_INLINE void input_vector(const float* const* at, std::int64_t ch, std::int64_t n, float* v,
                             std::int64_t plane) {
  VecF d[4][4], t[4][4];
  for (int i = 0; i < 16; ++i) d[i / 4][i % 4] = at[i] ? load_up_to(at[i] + ch, n) : set(0.0F);
  for (int x = 0; x < 4; ++x) {
    t[0][x] = sub(d[0][x], d[2][x]);
    t[1][x] = add(d[1][x], d[2][x]);
    t[2][x] = sub(d[2][x], d[1][x]);
    t[3][x] = sub(d[1][x], d[3][x]);
  }
  for (int y = 0; y < 4; ++y, v += 4 * plane) {
    store(sub(t[y][0], t[y][2]), v);
    store(add(t[y][1], t[y][2]), v + plane);
    store(sub(t[y][2], t[y][1]), v + 2 * plane);
    store(sub(t[y][1], t[y][3]), v + 3 * plane);
  }
}

template <class T>
HWY_INLINE VecF decode_part(const T* x, std::int64_t n) {
  HWY_ALIGN float row[hn::MaxLanes(F32())] = {};
  decode(row, x, n);
  return load(row);
}
template <class T>
HWY_INLINE VecF decode_whole(const T* x) {
  if constexpr (std::is_same_v<T, Half> && !kHardwareHalf)
    return decode_part(x, lanes());
  else
    return decode_vector<T>(reinterpret_cast<const Stored<T>*>(x));
}

// G g Gᵀ of one vector of columns, of which n exist, whole vectors; the adjoint turns the filter by half a
// circle.
template <class T, bool kTurned, bool kWhole>
HWY_INLINE void filter_vector(const T* w, std::int64_t tap_pitch, std::int64_t n, float* u) {
  constexpr std::int64_t kPlane = WinogradSizes::filter_plane();
  const VecF half = set(0.5F);
  VecF t[4][3];
#pragma GCC unroll 3
  for (int x = 0; x < 3; ++x) {
    VecF g[3];
#pragma GCC unroll 3
    for (int y = 0; y < 3; ++y) {
      const T* tap = w + (kTurned ? 8 - 3 * y - x : 3 * y + x) * tap_pitch;
      g[y] = kWhole ? decode_whole(tap) : decode_part(tap, n);
    }
    const VecF even = hn::Mul(half, add(g[0], g[2]));
    t[0][x] = g[0];
    t[1][x] = hn::MulAdd(half, g[1], even);
    t[2][x] = hn::NegMulAdd(half, g[1], even);
    t[3][x] = g[2];
  }
#pragma GCC unroll 4
  for (int y = 0; y < 4; ++y, u += 4 * kPlane) {
    const VecF even = hn::Mul(half, add(t[y][0], t[y][2]));
    store(t[y][0], u);
    store(hn::MulAdd(half, t[y][1], even), u + kPlane);
    store(hn::NegMulAdd(half, t[y][1], even), u + 2 * kPlane);
    store(t[y][2], u + 3 * kPlane);
  }
}

// Adjoint: rows of the filter are lines of panels, cut every kTileCols; forward: rows of U.
template <class T, bool kAdjoint>
void filter_block(const WinogradArgs& a, float* u, Span64 rows, Span64 cols) {
  const std::int64_t tap_pitch = kAdjoint ? a.sizes.to : a.sizes.from, n = cols.size();
  for (std::int64_t r = 0; r < rows.size(); ++r) {
    const T* w = static_cast<const T*>(a.w) + (rows.begin + r) * 9 * tap_pitch + cols.begin;
    const T* ahead = w + (r + 2 < rows.size() ? 2 * 9 * tap_pitch : 0);
    for (std::int64_t c = 0; c < n; c += kTileCols) {
      float* to = kAdjoint ? u + c * rows.size() + r * panel_width(n - c) : u + r * kStripPitch + c;
      for (int tap = 0; tap < 9; ++tap) hwy::Prefetch(ahead + tap * tap_pitch + c);
      for (std::int64_t i = 0; i < std::min<std::int64_t>(kTileCols, n - c); i += kLanes) {
        if (n - c - i >= kLanes)
          filter_vector<T, kAdjoint, true>(w + c + i, tap_pitch, kLanes, to + i);
        else
          filter_vector<T, kAdjoint, false>(w + c + i, tap_pitch, n - c - i, to + i);
      }
    }
  }
}

// Aᵀ M A of one vector: the four pixels (0, 0), (0, 1), (1, 0), (1, 1) of a tile.
HWY_INLINE void output_vector(const float* m, std::int64_t plane, VecF* out) {
  VecF t[2][4];
  for (int x = 0; x < 4; ++x) {
    const VecF m0 = load(m + x * plane), m1 = load(m + (4 + x) * plane);
    const VecF m2 = load(m + (8 + x) * plane), m3 = load(m + (12 + x) * plane);
    t[0][x] = add(add(m0, m1), m2);
    t[1][x] = sub(sub(m1, m2), m3);
  }
  for (int y = 0; y < 2; ++y) {
    out[2 * y] = add(add(t[y][0], t[y][1]), t[y][2]);
    out[2 * y + 1] = sub(sub(t[y][1], t[y][2]), t[y][3]);
  }
}

// Where the four pixels of a tile go, null where they do not exist; channel 0.
struct Pixels {
  float* at[4];
};
HWY_INLINE Pixels pixels_of(const WinogradArgs& a, std::int64_t index) {
  const WinogradSizes& s = a.sizes;
  const Tile2x2 tile = tile_at(s, index);
  float* row = a.to + ((tile.image * s.out_height + tile.y) * s.out_width + tile.x) * s.to;
  const bool right = tile.x + 1 < s.out_width, below = tile.y + 1 < s.out_height;
  return {{row, right ? row + s.to : nullptr, below ? row + s.out_width * s.to : nullptr,
           right && below ? row + (s.out_width + 1) * s.to : nullptr}};
}
// The vector of `n` channels from `ch` on of a pixel.
HWY_INLINE void put_pixel(const WinogradArgs& a, float* pixel, std::int64_t ch, std::int64_t n, VecF v) {
  if (!pixel) return;
  if (a.bias) v = add(v, load_up_to(a.bias + ch, n));
  if (a.accumulate) v = add(v, load_up_to(pixel + ch, n));
  store_up_to(v, pixel + ch, n);
}

void output_by_tile(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols) {
  for (std::int64_t p = tiles.begin; p < tiles.end; ++p) {
    const Pixels pixels = pixels_of(a, p);
    for (std::int64_t c = cols.begin; c < cols.end; c += lanes()) {
      VecF out[4];
      output_vector(m + (p - tiles.begin) * cpu::winograd_columns(a) + c - cols.begin,
                    a.sizes.product_plane(), out);
      for (int i = 0; i < 4; ++i) put_pixel(a, pixels.at[i], c, cols.end - c, out[i]);
    }
  }
}

// Lines of tiles, one per channel: squares of kLanes tiles by kLanes channels are turned in a buffer.
void output_by_channel(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols) {
  HWY_ALIGN float lines[4 * kSquare] = {};
  HWY_ALIGN float turned[4 * kSquare];
  for (std::int64_t p = tiles.begin; p < tiles.end; p += kLanes) {
    for (std::int64_t c = cols.begin; c < cols.end; c += kLanes) {
      const std::int64_t channels = std::min<std::int64_t>(kLanes, cols.end - c);
      for (std::int64_t i = 0; i < channels; ++i) {
        VecF out[4];
        output_vector(m + (c - cols.begin + i) * a.sizes.tiles_pitch() + p - tiles.begin,
                      a.sizes.product_plane(), out);
        for (int pixel = 0; pixel < 4; ++pixel) store(out[pixel], lines + pixel * kSquare + i * kLanes);
      }
      for (int pixel = 0; pixel < 4; ++pixel) turn(turned + pixel * kSquare, kLanes, lines + pixel * kSquare);
      for (std::int64_t i = 0; i < std::min<std::int64_t>(kLanes, tiles.end - p); ++i) {
        const Pixels pixels = pixels_of(a, p + i);
        for (int pixel = 0; pixel < 4; ++pixel)
          put_pixel(a, pixels.at[pixel], c, channels, load(turned + pixel * kSquare + i * kLanes));
      }
    }
  }
}

// The sixteen pixels that tile `index` reads, null where it hangs over the edge.
struct Reads {
  const float* at[16];
};
HWY_INLINE Reads reads_of(const WinogradArgs& a, std::int64_t index) {
  const WinogradSizes& s = a.sizes;
  const Tile2x2 tile = tile_at(s, index);
  Reads reads;
  for (int i = 0; i < 16; ++i) {
    const std::int64_t y = tile.y - s.pad + i / 4, x = tile.x - s.pad + i % 4;
    const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
    reads.at[i] = inside ? a.from + ((tile.image * s.height + y) * s.width + x) * s.from : nullptr;
  }
  return reads;
}

// A vector of channels [ch, ch + kLanes) of kLanes tiles from `first` of the chunk on, turned into lines of
// tiles.
void input_square(const WinogradArgs& a, const WinogradChunk& chunk, std::int64_t first, std::int64_t block,
                  std::int64_t ch) {
  const WinogradSizes& s = a.sizes;
  const Span64 ks = cpu::winograd_k_block(s, block);
  const std::int64_t tiles = chunk.tiles.size(), n = std::min<std::int64_t>(kLanes, ks.end - ch);
  HWY_ALIGN float rows[kWinogradPlanes * kSquare];
  for (std::int64_t i = 0; i < kLanes; ++i) {
    Reads reads{};
    if (first + i < tiles) reads = reads_of(a, chunk.tiles.begin + first + i);
    input_vector(reads.at, ch, n, rows + i * kLanes, kSquare);
  }
  const std::int64_t panel = first / kTileCols * kTileCols, width = panel_width(tiles - panel);
  float* to = chunk.v + block * s.input_block() + panel * ks.size() + (ch - ks.begin) * width + first - panel;
  HWY_ALIGN float turned[kSquare];
  for (int plane = 0; plane < kWinogradPlanes; ++plane, to += s.input_plane()) {
    if (n == kLanes) {
      turn(to, width, rows + plane * kSquare);
    } else {
      turn(turned, kLanes, rows + plane * kSquare);
      for (std::int64_t k = 0; k < n; ++k) store(load(turned + k * kLanes), to + k * width);
    }
  }
}

// Vectors of channels of a tile, block by block.
std::int64_t vectors_of(std::int64_t channels) { return (channels + kLanes - 1) / kLanes; }

// The tiles that one item of input_simd() covers.
std::int64_t tiles_per_item(const WinogradArgs& a) { return a.adjoint ? 1 : kLanes; }

}  // namespace

std::int64_t input_items_simd(const WinogradArgs& a, const WinogradChunk& chunk) {
  const std::int64_t each = tiles_per_item(a);
  return (chunk.tiles.size() + each - 1) / each * vectors_of(a.sizes.from);
}

void input_simd(const WinogradArgs& a, const WinogradChunk& chunk, Span64 items) {
  const WinogradSizes& s = a.sizes;
  const std::int64_t vectors = vectors_of(s.from);
  for (std::int64_t item = items.begin; item < items.end;) {
    const std::int64_t first = item / vectors * tiles_per_item(a);
    const std::int64_t end = std::min(items.end, (item / vectors + 1) * vectors);
    const Reads reads = reads_of(a, chunk.tiles.begin + first);
    for (std::int64_t block = 0; block < s.k_blocks(); ++block) {
      const Span64 ks = cpu::winograd_k_block(s, block);
      const std::int64_t at = item % vectors * kLanes, to = at + (end - item) * kLanes;
      for (std::int64_t ch = std::max(ks.begin, at); ch < std::min(ks.end, to); ch += kLanes) {
        if (a.adjoint) {
          float* row = chunk.v + block * s.input_block() + first * kStripPitch + ch - ks.begin;
          input_vector(reads.at, ch, ks.end - ch, row, s.input_plane());
        } else {
          input_square(a, chunk, first, block, ch);
        }
      }
    }
    item = end;
  }
}

template <class T>
HWY_INLINE void filter_rows(const WinogradArgs& a, float* u, Span64 ks, Span64 cols) {
  a.adjoint ? filter_block<T, true>(a, u, ks, cols) : filter_block<T, false>(a, u, cols, ks);
}
void filter_simd(const WinogradArgs& a, float* u, Span64 ks, Span64 cols) {
  if (a.dtype == DType::f16)
    filter_rows<Half>(a, u, ks, cols);
  else if (a.dtype == DType::bf16)
    filter_rows<BFloat16>(a, u, ks, cols);
  else
    filter_rows<float>(a, u, ks, cols);
}

void output_simd(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols) {
  a.adjoint ? output_by_tile(a, m, tiles, cols) : output_by_channel(a, m, tiles, cols);
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(input_items_simd);
HWY_EXPORT(input_simd);
HWY_EXPORT(filter_simd);
HWY_EXPORT(output_simd);

std::int64_t winograd_input_items(const WinogradArgs& a, const WinogradChunk& chunk) {
  return HWY_DYNAMIC_DISPATCH(input_items_simd)(a, chunk);
}
void winograd_input(const WinogradArgs& a, const WinogradChunk& chunk, Span64 items) {
  HWY_DYNAMIC_DISPATCH(input_simd)(a, chunk, items);
}
void winograd_filter(const WinogradArgs& a, float* u, Span64 ks, Span64 cols) {
  HWY_DYNAMIC_DISPATCH(filter_simd)(a, u, ks, cols);
}
void winograd_output(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols) {
  HWY_DYNAMIC_DISPATCH(output_simd)(a, m, tiles, cols);
}

}  // namespace rankine::cpu
#endif
