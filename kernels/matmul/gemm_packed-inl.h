// Products of operands that a kernel packs itself, once for many products, or leaves where it made them.
// Included once per target.
#if defined(RANKINE_KERNELS_MATMUL_GEMM_PACKED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_MATMUL_GEMM_PACKED_INL_H_
#undef RANKINE_KERNELS_MATMUL_GEMM_PACKED_INL_H_
#else
#define RANKINE_KERNELS_MATMUL_GEMM_PACKED_INL_H_
#endif

#include "kernels/common/checks.h"
#include "kernels/matmul/gemm_pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

// Packed strips have kTileRows rows, the last what is left: so the first rows of A are the first of its
// strips.
HWY_INLINE Range packed_strip(std::int64_t rows, std::int64_t s) {
  return {s * kTileRows, std::min<std::int64_t>(rows, (s + 1) * kTileRows)};
}

// C (rows, cols) = or += A (rows, ks) · B (ks, cols). A is packed strips (pack_strips), or lies in rows
// kStripPitch apart; B is packed panels, or lies in rows kStripPitch apart, with room for whole vectors. Only
// cols elements of a row of C are written.
struct PackedProduct {
  struct Operand {
    const float* data;
    std::int64_t depth = 0;  // lines of a strip or panel, where it is packed
  };
  struct Target {
    float* data;
    std::int64_t pitch;
  };
  TileLayout layout;
  Operand a, b;
  std::int64_t rows, cols;
  Range ks;
  Target c;
  Write write;
};

HWY_INLINE void multiply_packed(const PackedProduct& p) {
  const bool in_rows = p.layout == TileLayout::rows, in_place = p.layout == TileLayout::lines_in_place;
  const std::int64_t strips = strips_of(p.rows);
  for (std::int64_t column = 0; column < p.cols; column += kTileCols) {
    const std::int64_t columns = std::min<std::int64_t>(p.cols - column, kTileCols);
    const int vecs = columns <= kLanes ? 1 : 2;
    const float* panel = p.b.data + (in_place ? column + p.ks.begin * kStripPitch
                                              : column * p.b.depth + p.ks.begin * vecs * kLanes);
    for (std::int64_t s = 0; s < strips; ++s) {
      const Range rows = in_rows ? cpu::part_of(p.rows, s, strips) : packed_strip(p.rows, s);
      const float* strip = p.a.data + (in_rows ? rows.begin * kStripPitch + p.ks.begin
                                               : (s * p.a.depth + p.ks.begin) * kStripWidth);
      float* c[kTileRows];
      for (std::int64_t i = 0; i < rows.size(); ++i) c[i] = p.c.data + (rows.begin + i) * p.c.pitch;
      const TileFn multiply = tile_function(rows.size(), vecs, p.layout);
      multiply({strip, panel, p.ks.size(), c, column, columns, nullptr, p.write == Write::accumulate});
    }
  }
}

// Rows of A, or of Aᵀ where a.transposed, as strips of k lines each. cpu::strip_scratch(rows, k) floats.
HWY_INLINE void pack_strips(float* to, const cpu::Left& a, std::int64_t rows, std::int64_t k) {
  for (std::int64_t s = 0; s < strips_of(rows); ++s) {
    for (Range ks{0, 0}; ks.begin < k; ks.begin = ks.end) {
      ks.end = std::min(k, ks.begin + cpu::kBlockDepth);
      pack_lines(to + (s * k + ks.begin) * kStripWidth, a, packed_strip(rows, s), ks);
    }
  }
}

// B (k, cols) of fp32, not gathered, as panels of `depth` >= k lines.
HWY_INLINE void pack_panels(float* to, const Right& b, std::int64_t k, std::int64_t cols,
                            std::int64_t depth) {
  for (Range ks{0, 0}; ks.begin < k; ks.begin = ks.end) {
    ks.end = std::min(k, ks.begin + cpu::kBlockDepth);
    pack_right<float>({to, depth, ks.begin, {0, cols}}, b, ks, nullptr);
  }
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
