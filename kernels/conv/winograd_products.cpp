#include <utility>

#include "kernels/conv/winograd_impl.h"
#include "kernels/matmul/gemm_block.h"

#include "kernels/common/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv/winograd_products.cpp"
#include <hwy/foreach_target.h>

#include "kernels/matmul/gemm_packed-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

using cpu::WinogradSizes;

// Transformed tiles or filters of a plane, and how many.
struct Side {
  const float* data;
  std::int64_t count;
};

void multiply_simd(const cpu::WinogradArgs& a, const cpu::WinogradChunk& chunk, const cpu::WinogradStep& step,
                   cpu::Span64 tiles, cpu::Span64 cols, float* scratch) {
  const WinogradSizes& s = a.sizes;
  const std::int64_t k = step.ks.size(), within = step.ks.begin - cpu::winograd_k_block(s, step.block).begin;
  const float* v = chunk.v + step.block * s.input_block();
  v += a.adjoint ? tiles.begin * kStripPitch + within : tiles.begin * k;
  float* m = scratch + cpu::kWinogradPlanes * WinogradSizes::filter_plane();
  const Write write = step.ks.begin > 0 ? Write::accumulate : Write::overwrite;
  for (int plane = 0; plane < cpu::kWinogradPlanes; ++plane) {
    Side left{v + plane * s.input_plane(), tiles.size()};
    Side right{scratch + plane * WinogradSizes::filter_plane(), cols.size()};
    if (!a.adjoint) std::swap(left, right);
    multiply_packed({TileLayout::rows,
                     {left.data},
                     {right.data, k},
                     left.count,
                     (right.count + kLanes - 1) / kLanes * kLanes,
                     {0, k},
                     {m + plane * s.product_plane(), a.adjoint ? cpu::winograd_columns(a) : s.tiles_pitch()},
                     write});
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
