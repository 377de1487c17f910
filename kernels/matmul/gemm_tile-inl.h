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
// A strip of A lies in rows of pitch kStripPitch or, which is faster to multiply and slower to make, in lines
// of kStripWidth rows, one line per k.
inline constexpr std::int64_t kStripWidth = (kTileRows + kLanes - 1) / kLanes * kLanes;

// How many strips so many rows are.
constexpr std::int64_t strips_of(std::int64_t rows) { return (rows + kTileRows - 1) / kTileRows; }

// Lines of a panel asked for before they are needed: a panel and a strip together do not fit the first-level
// cache.
inline constexpr std::int64_t kAheadLines = 16;

struct Tile {
  const float* a;  // strip
  const float* b;  // panel: k rows of 1 or 2 vectors, behind each other or kStripPitch apart
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

// acc += a · b
template <int kVecs>
HWY_INLINE void multiply_row(const float& a, const VecF* b, VecF* acc) {
  const VecF av = set(a);
#pragma GCC unroll 2
  for (int v = 0; v < kVecs; ++v) acc[v] = hn::MulAdd(av, b[v], acc[v]);
}
// The same with an instruction less and a load more: a multiply-add of AVX-512 repeats its operand from
// memory by itself. Half of the rows this way is the best of both where another hyper-thread shares the
// decoder and the load ports (250 -> 285 GFLOP/s on two cores); alone on its core either reaches 97 % of the
// peak.
template <int kVecs>
HWY_INLINE void multiply_row_from_memory(const float& a, const VecF* b, VecF* acc) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3 && defined(__GNUC__)
  for (int v = 0; v < kVecs; ++v)
    asm("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(acc[v].raw) : "m"(a), "v"(b[v].raw));
#else
  multiply_row<kVecs>(a, b, acc);
#endif
}

// How the operands of a tile lie: the strip in rows or in lines, the panel packed or in place.
enum class TileLayout : std::uint8_t { rows, lines, lines_in_place };

template <int kRows, int kVecs, TileLayout kLayout>
void multiply_tile(const Tile& t) {
  constexpr bool kLines = kLayout != TileLayout::rows;
  constexpr std::int64_t kPanelPitch =
      kLayout == TileLayout::lines_in_place ? kStripPitch : std::int64_t{kVecs} * kLanes;
  const F32 d;
  VecF acc[kRows][kVecs];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      hwy::Prefetch(t.c[r] + t.column + v * kLanes);
      acc[r][v] = hn::Zero(d);
    }
  }
  const float* HWY_RESTRICT a = t.a;
  const float* HWY_RESTRICT b = t.b;
#pragma GCC unroll 2
  for (std::int64_t k = 0; k < t.k; ++k) {
    VecF bv[kVecs];
#pragma GCC unroll 2
    for (int v = 0; v < kVecs; ++v) {
      bv[v] = hn::Load(d, b + v * kLanes);
      hwy::Prefetch(b + kAheadLines * kPanelPitch + v * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      if (kLines && r % 2 == 0)
        multiply_row_from_memory<kVecs>(a[r], bv, acc[r]);
      else
        multiply_row<kVecs>(a[kLines ? r : r * kStripPitch], bv, acc[r]);
    }
    a += kLines ? kStripWidth : 1;
    b += kPanelPitch;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) write_row<kVecs>(t, acc[r], t.c[r]);
}

using TileFn = void (*)(const Tile&);

template <int kVecs, TileLayout kLayout, int... kRows>
HWY_INLINE TileFn pick_rows(std::int64_t rows, std::integer_sequence<int, kRows...>) {
  static constexpr TileFn kTable[] = {&multiply_tile<kRows + 1, kVecs, kLayout>...};
  return kTable[rows - 1];
}
template <TileLayout kLayout>
HWY_INLINE TileFn pick_tile(std::int64_t rows, int vecs) {
  constexpr auto kSizes = std::make_integer_sequence<int, kTileRows>();
  return vecs == 1 ? pick_rows<1, kLayout>(rows, kSizes) : pick_rows<2, kLayout>(rows, kSizes);
}

HWY_INLINE TileFn tile_function(std::int64_t rows, int vecs, TileLayout layout) {
  switch (layout) {
    case TileLayout::rows:
      return pick_tile<TileLayout::rows>(rows, vecs);
    case TileLayout::lines:
      return pick_tile<TileLayout::lines>(rows, vecs);
    case TileLayout::lines_in_place:
      return pick_tile<TileLayout::lines_in_place>(rows, vecs);
  }
  HWY_ABORT("no such layout");
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
