// The inner loop of a product: a tile of C held in registers. Included once per target.
#if defined(RANKINE_KERNELS_MATMUL_GEMM_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_MATMUL_GEMM_TILE_INL_H_
#undef RANKINE_KERNELS_MATMUL_GEMM_TILE_INL_H_
#else
#define RANKINE_KERNELS_MATMUL_GEMM_TILE_INL_H_
#endif

#include <hwy/cache_control.h>

#include <utility>

#include "kernels/common/simd-inl.h"
#include "kernels/matmul/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

inline constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
// Rows x 2 vectors of accumulators: 28 of 32 registers, or 12 of 16.
inline constexpr int kTileRows = kLanes == 16 || HWY_ARCH_ARM_A64 ? 14 : 6;
inline constexpr int kTileCols = 2 * kLanes;
using cpu::kStripPitch;
// A transposed strip has one row of kStripWidth floats per k.
inline constexpr std::int64_t kStripWidth = 16;

// Lines of a panel asked for before they are needed: a panel and a strip together do not fit the first-level
// cache.
inline constexpr std::int64_t kAheadLines = 16;

struct Tile {
  const float* a;  // packed strip
  const float* b;  // packed panel: k rows of 1 or 2 vectors
  std::int64_t k;
  float* const* c;       // start of each row of C
  std::int64_t column;   // of the tile's first column
  std::int64_t columns;  // valid ones
  const float* bias;     // of column 0; null in all blocks of K but the first
  bool add;              // to what C holds
};

template <int kVecs, class Acc>
HWY_INLINE void write_row(const Tile& t, const Acc& acc, float* c) {
  for (int v = 0; v < kVecs; ++v) {
    const std::int64_t at = v * kLanes, left = t.columns - at;
    if (left <= 0) return;
    VecF y = acc[v];
    if (left >= kLanes) {
      if (t.bias) y = hn::Add(y, load(t.bias + t.column + at));
      if (t.add) y = hn::Add(y, load(c + t.column + at));
      store(y, c + t.column + at);
    } else {
      if (t.bias) y = hn::Add(y, load_n(t.bias + t.column + at, left));
      if (t.add) y = hn::Add(y, load_n(c + t.column + at, left));
      store_n(y, c + t.column + at, left);
    }
  }
}

template <int kRows, int kVecs, bool kTransposed>
void multiply_tile(const Tile& t) {
  const F32 d;
  VecF acc[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    hwy::Prefetch(t.c[r] + t.column);
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::Zero(d);
  }
  const float* HWY_RESTRICT a = t.a;
  const float* HWY_RESTRICT b = t.b;
#pragma GCC unroll 2
  for (std::int64_t k = 0; k < t.k; ++k) {
    VecF bv[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      bv[v] = hn::Load(d, b + v * kLanes);
      hwy::Prefetch(b + (kAheadLines * kVecs + v) * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const VecF av = set(a[kTransposed ? r : r * kStripPitch]);
#pragma GCC unroll 2
      for (int v = 0; v < kVecs; ++v) acc[r][v] = hn::MulAdd(av, bv[v], acc[r][v]);
    }
    a += kTransposed ? kStripWidth : 1;
    b += kVecs * kLanes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) write_row<kVecs>(t, acc[r], t.c[r]);
}

using TileFn = void (*)(const Tile&);

template <int kVecs, bool kTransposed, int... kRows>
HWY_INLINE TileFn pick_rows(std::int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFn kTable[] = {&multiply_tile<kRows + 1, kVecs, kTransposed>...};
  return kTable[rows - 1];
}

HWY_INLINE TileFn tile_function(std::int64_t rows, int vecs, bool transposed) {
  constexpr auto kSizes = std::make_integer_sequence<int, kTileRows>();
  if (transposed) return vecs == 1 ? pick_rows<1, true>(rows, kSizes) : pick_rows<2, true>(rows, kSizes);
  return vecs == 1 ? pick_rows<1, false>(rows, kSizes) : pick_rows<2, false>(rows, kSizes);
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
