#include "kernels/conv/winograd_impl.h"
#include "kernels/matmul/gemm_block.h"

#include "kernels/common/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_products.cpp"
#include <hwy/foreach_target.h>

#include "kernels/matmul/gemm_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::part_of;
using cpu::Range;
using cpu::WinogradSizes;

// c (rows, cols) = or += a (rows, k; pitch kStripPitch) · b (panels of k lines), row r of c at c + r *
// c_pitch. Lines of c have room for whole vectors.
struct Plane {
  const float *a, *b;
  float* c;
  std::int64_t rows, cols, k, c_pitch;
  bool add;
};

void multiply_plane(const Plane& p) {
  const std::int64_t strips = (p.rows + kTileRows - 1) / kTileRows;
  for (std::int64_t column = 0; column < p.cols; column += kTileCols) {
    const int vecs = p.cols - column <= kLanes ? 1 : 2;
    for (std::int64_t s = 0; s < strips; ++s) {
      const Range rows = part_of(p.rows, s, strips);
      float* c[kTileRows];
      for (std::int64_t i = 0; i < rows.size(); ++i) c[i] = p.c + (rows.begin + i) * p.c_pitch;
      tile_function(rows.size(), vecs, false)({p.a + rows.begin * kStripPitch, p.b + column * p.k, p.k, c,
                                               column, std::int64_t{vecs} * kLanes, nullptr, p.add});
    }
  }
}

}  // namespace

void multiply_simd(const cpu::WinogradArgs& a, const cpu::WinogradChunk& chunk, const cpu::WinogradStep& step,
                   cpu::Span64 tiles, cpu::Span64 cols, float* scratch) {
  const WinogradSizes& s = a.sizes;
  const std::int64_t k = step.ks.size(), within = step.ks.begin - cpu::winograd_k_block(s, step.block).begin;
  const float* v = chunk.v + step.block * s.input_block();
  v += a.adjoint ? tiles.begin * kStripPitch + within : tiles.begin * k;
  float* m = scratch + cpu::kWinogradPlanes * WinogradSizes::filter_plane();
  const bool sum = step.ks.begin > 0;
  for (int plane = 0; plane < cpu::kWinogradPlanes; ++plane) {
    const float* u = scratch + plane * WinogradSizes::filter_plane();
    const float* vp = v + plane * s.input_plane();
    float* mp = m + plane * s.product_plane();
    if (a.adjoint)
      multiply_plane({vp, u, mp, tiles.size(), cols.size(), k, cpu::winograd_columns(a), sum});
    else
      multiply_plane({u, vp, mp, cols.size(), tiles.size(), k, s.tiles_pitch(), sum});
  }
}

static_assert(WinogradSizes::kColumns % kTileCols == 0 && WinogradSizes::kTileUnit % kTileCols == 0);

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(multiply_simd);

void winograd_multiply(const WinogradArgs& a, const WinogradChunk& chunk, const WinogradStep& step,
                       Span64 tiles, Span64 cols, float* scratch) {
  HWY_DYNAMIC_DISPATCH(multiply_simd)(a, chunk, step, tiles, cols, scratch);
}

}  // namespace rankine::cpu
#endif
