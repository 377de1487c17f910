#include "kernels/conv/winograd_impl.h"

#include "kernels/common/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_transforms.cpp"
#include <hwy/foreach_target.h>

#include <hwy/cache_control.h>

#include <type_traits>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::kStripPitch;
using cpu::kWinogradPlanes;
using cpu::Span64;
using cpu::WinogradArgs;
using cpu::WinogradSizes;

HWY_INLINE VecF add(VecF a, VecF b) { return hn::Add(a, b); }
HWY_INLINE VecF sub(VecF a, VecF b) { return hn::Sub(a, b); }
HWY_INLINE VecF half(VecF a) { return hn::Mul(a, set(0.5F)); }

// The first n lanes, or all of them.
HWY_INLINE VecF load_up_to(const float* p, std::int64_t n) { return n >= lanes() ? load(p) : load_n(p, n); }
HWY_INLINE void store_up_to(VecF v, float* p, std::int64_t n) {
  n >= lanes() ? store(v, p) : store_n(v, p, n);
}

struct Tile {
  std::int64_t image, y, x;  // first output pixel
};
HWY_INLINE Tile tile_at(const WinogradSizes& s, std::int64_t tile) {
  const std::int64_t line = tile / s.tiles_x();
  return {line / s.tiles_y(), line % s.tiles_y() * 2, tile % s.tiles_x() * 2};
}

// Bᵀ d B of one vector of channels; at[i] is null where the tile hangs over the edge.
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
    store_up_to(sub(t[y][0], t[y][2]), v, n);
    store_up_to(add(t[y][1], t[y][2]), v + plane, n);
    store_up_to(sub(t[y][2], t[y][1]), v + 2 * plane, n);
    store_up_to(sub(t[y][1], t[y][3]), v + 3 * plane, n);
  }
}

template <class T>
HWY_INLINE VecF decode_up_to(const T* x, std::int64_t n) {
  if (HWY_TARGET == HWY_EMU128 || n < lanes()) {
    HWY_ALIGN float row[hn::MaxLanes(F32())] = {};
    decode(row, x, std::min(n, lanes()));
    return load(row);
  }
  if constexpr (std::is_same_v<T, float>) {
    return load(x);
  } else if constexpr (std::is_same_v<T, Half>) {
    const hn::Rebind<hwy::float16_t, F32> d16;
    return hn::PromoteTo(F32(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(x)));
  } else {
    const auto bits = hn::LoadU(hn::Rebind<std::uint16_t, F32>(), reinterpret_cast<const std::uint16_t*>(x));
    return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(hn::RebindToUnsigned<F32>(), bits)));
  }
}

// G g Gᵀ of one vector of columns; the adjoint turns the filter by half a circle.
template <class T>
HWY_INLINE void filter_vector(const T* w, std::int64_t tap_pitch, bool turned, std::int64_t n, float* u) {
  constexpr std::int64_t kPlane = WinogradSizes::filter_plane();
  VecF t[4][3];
  for (int x = 0; x < 3; ++x) {
    const auto tap = [&](int y) HWY_ATTR {
      const int i = 3 * y + x;
      return decode_up_to(w + (turned ? 8 - i : i) * tap_pitch, n);
    };
    const VecF g0 = tap(0), g1 = tap(1), g2 = tap(2), even = add(g0, g2);
    t[0][x] = g0;
    t[1][x] = half(add(even, g1));
    t[2][x] = half(sub(even, g1));
    t[3][x] = g2;
  }
  for (int y = 0; y < 4; ++y, u += 4 * kPlane) {
    const VecF even = add(t[y][0], t[y][2]);
    store_up_to(t[y][0], u, n);
    store_up_to(half(add(even, t[y][1])), u + kPlane, n);
    store_up_to(half(sub(even, t[y][1])), u + 2 * kPlane, n);
    store_up_to(t[y][2], u + 3 * kPlane, n);
  }
}

template <class T>
void filter_block(const WinogradArgs& a, float* u, std::int64_t pitch, Span64 rows, Span64 cols) {
  const std::int64_t tap_pitch = a.adjoint ? a.sizes.to : a.sizes.from;
  for (std::int64_t r = rows.begin; r < rows.end; ++r) {
    const T* w = static_cast<const T*>(a.w) + r * 9 * tap_pitch;
    const T* ahead = w + (r + 2 < rows.end ? 2 * 9 * tap_pitch : 0);
    for (std::int64_t c = cols.begin; c < cols.end; c += lanes()) {
      if (c % static_cast<std::int64_t>(64 / sizeof(T)) == 0) {
        for (int tap = 0; tap < 9; ++tap) hwy::Prefetch(ahead + tap * tap_pitch + c);
      }
      filter_vector(w + c, tap_pitch, a.adjoint, cols.end - c, u + (r - rows.begin) * pitch + c - cols.begin);
    }
  }
}

// Aᵀ M A of one vector of channels into the up to four pixels that exist.
HWY_INLINE void output_vector(const float* m, std::int64_t plane, const float* bias, bool accumulate,
                              std::int64_t n, float* const* to) {
  VecF t[2][4];
  for (int x = 0; x < 4; ++x) {
    const VecF m0 = load(m + x * plane), m1 = load(m + (4 + x) * plane);
    const VecF m2 = load(m + (8 + x) * plane), m3 = load(m + (12 + x) * plane);
    t[0][x] = add(add(m0, m1), m2);
    t[1][x] = sub(sub(m1, m2), m3);
  }
  for (int y = 0; y < 2; ++y) {
    const VecF out[2] = {add(add(t[y][0], t[y][1]), t[y][2]), sub(sub(t[y][1], t[y][2]), t[y][3])};
    for (int x = 0; x < 2; ++x) {
      float* p = to[2 * y + x];
      if (!p) continue;
      VecF v = bias ? add(out[x], load_up_to(bias, n)) : out[x];
      if (accumulate) v = add(v, load_up_to(p, n));
      store_up_to(v, p, n);
    }
  }
}

}  // namespace

void input_simd(const WinogradArgs& a, float* v, std::int64_t first_tile, Span64 tiles) {
  const WinogradSizes& s = a.sizes;
  for (std::int64_t p = tiles.begin; p < tiles.end; ++p) {
    const Tile tile = tile_at(s, p);
    const float* at[16];
    for (int i = 0; i < 16; ++i) {
      const std::int64_t y = tile.y - s.pad + i / 4, x = tile.x - s.pad + i % 4;
      const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
      at[i] = inside ? a.from + ((tile.image * s.height + y) * s.width + x) * s.from : nullptr;
    }
    for (std::int64_t b = 0; b < s.k_blocks(); ++b) {
      const Span64 ks = cpu::winograd_k_block(s, b);
      float* row = v + (b * s.chunk() + p - first_tile) * kStripPitch;
      for (std::int64_t ch = ks.begin; ch < ks.end; ch += lanes())
        input_vector(at, ch, ks.end - ch, row + ch - ks.begin, s.input_plane());
    }
  }
}

void filter_simd(const WinogradArgs& a, float* u, std::int64_t pitch, Span64 rows, Span64 cols) {
  if (a.dtype == DType::f16)
    filter_block<Half>(a, u, pitch, rows, cols);
  else if (a.dtype == DType::bf16)
    filter_block<BFloat16>(a, u, pitch, rows, cols);
  else
    filter_block<float>(a, u, pitch, rows, cols);
}

void output_simd(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols) {
  const WinogradSizes& s = a.sizes;
  for (std::int64_t p = tiles.begin; p < tiles.end; ++p) {
    const Tile tile = tile_at(s, p);
    float* row = a.to + ((tile.image * s.out_height + tile.y) * s.out_width + tile.x) * s.to;
    const bool right = tile.x + 1 < s.out_width, below = tile.y + 1 < s.out_height;
    for (std::int64_t c = cols.begin; c < cols.end; c += lanes()) {
      float* const to[4] = {row + c, right ? row + s.to + c : nullptr,
                            below ? row + s.out_width * s.to + c : nullptr,
                            right && below ? row + (s.out_width + 1) * s.to + c : nullptr};
      output_vector(m + (p - tiles.begin) * WinogradSizes::kColumns + c - cols.begin, s.product_plane(),
                    a.bias ? a.bias + c : nullptr, a.accumulate, cols.end - c, to);
    }
  }
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(input_simd);
HWY_EXPORT(filter_simd);
HWY_EXPORT(output_simd);

void winograd_input(const WinogradArgs& a, float* v, std::int64_t first_tile, Span64 tiles) {
  HWY_DYNAMIC_DISPATCH(input_simd)(a, v, first_tile, tiles);
}
void winograd_filter(const WinogradArgs& a, float* u, std::int64_t pitch, Span64 rows, Span64 cols) {
  HWY_DYNAMIC_DISPATCH(filter_simd)(a, u, pitch, rows, cols);
}
void winograd_output(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols) {
  HWY_DYNAMIC_DISPATCH(output_simd)(a, m, tiles, cols);
}

}  // namespace rankine::cpu
#endif
