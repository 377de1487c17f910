#include "kernels/matmul/gemm_block.h"

#include "kernels/common/simd_targets.h"
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/gemm_block.cpp"
#include <hwy/foreach_target.h>

#include "kernels/matmul/gemm_pack_blocks-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

using cpu::Gemm;
using cpu::Term;

// Calls f(term, its own rows, first row within the block) for every term that has rows in the block [ks) of
// all K.
template <class F>
HWY_INLINE void for_terms(const Gemm& g, Range ks, const F& f) {
  std::int64_t start = 0;
  for (const Term& term : g.terms) {
    const Range local{std::max(ks.begin, start), std::min(ks.end, start + term.k)};
    if (local.begin < local.end)
      f(term, Range{local.begin - start, local.end - start}, local.begin - ks.begin);
    start += term.k;
  }
}

// Lines from one panel to the next.
HWY_INLINE std::int64_t panel_depth(Range ks) { return ks.size() + cpu::kPanelGap; }

HWY_INLINE void pack_panels(const Gemm& g, Range ks, Range cols, float* panels, float* row) {
  for_terms(g, ks, [&](const Term& term, Range local, std::int64_t at) HWY_ATTR {
    const PanelBlock p{panels, panel_depth(ks), at, cols};
    if (is_block(term.b.dtype))
      pack_blocks(p, term.b, local);
    else if (term.b.dtype == DType::f16)
      pack_right<Half>(p, term.b, local, row);
    else if (term.b.dtype == DType::bf16)
      pack_right<BFloat16>(p, term.b, local, row);
    else
      pack_right<float>(p, term.b, local, row);
  });
}

// All tiles of C[rows, cols] for one block of K.
HWY_INLINE void multiply_strips(const Gemm& g, Range ks, Range rows, Range cols, const float* panels,
                                float* strip) {
  const bool transposed = !g.terms.empty() && g.terms[0].a.transposed;
  const bool in_place = !g.terms.empty() && g.terms[0].a.in_place;
  const bool first = ks.begin == 0;
  const std::int64_t strips = (rows.size() + kTileRows - 1) / kTileRows;
  for (std::int64_t s = 0; s < strips; ++s) {
    const Range part = cpu::part_of(rows.size(), s, strips);
    const Range r{rows.begin + part.begin, rows.begin + part.end};
    const float* a = strip;
    if (in_place) {
      a = g.terms[0].a.rows.data + r.begin * kStripPitch + ks.begin;
    } else {
      for_terms(g, ks, [&](const Term& term, Range local, std::int64_t at) HWY_ATTR {
        pack_left(strip, at, term.a, r, local);
      });
    }
    float* c[kTileRows];
    for (std::int64_t i = 0; i < r.size(); ++i) c[i] = g.c.row(r.begin + i);
    const TileFn narrow = tile_function(r.size(), 1, transposed),
                 wide = tile_function(r.size(), 2, transposed);
    Tile t{a, panels, ks.size(), c, cols.begin, 0, first ? g.bias : nullptr, g.accumulate || !first};
    while (t.column < cols.end) {
      const std::int64_t width = panel_width(cols.end - t.column);
      t.columns = std::min(width, cols.end - t.column);
      (width == kLanes ? narrow : wide)(t);
      t.b += panel_depth(ks) * width;
      t.column += width;
    }
  }
}

static_assert(cpu::kBlockUnit % kTileCols == 0 && cpu::kBlockN % cpu::kBlockUnit == 0 &&
              cpu::kBlockK % cpu::kBlockUnit == 0 && cpu::kBlockSlack % cpu::kBlockUnit == 0);

void gemm_block_simd(const Gemm& g, Range rows, Range cols, float* scratch) {
  float* strip = scratch + cpu::kPanelScratch;
  float* row = strip + kStripWidth * kStripPitch;
  const std::int64_t k = g.k();
  const std::int64_t k_blocks =
      std::max<std::int64_t>(1, (k - cpu::kBlockSlack + cpu::kBlockK - 1) / cpu::kBlockK);
  const std::int64_t n_blocks = (cols.size() + cpu::kBlockN - 1) / cpu::kBlockN;
  for (std::int64_t j = 0; j < n_blocks; ++j) {
    const Range part = cpu::part_of(cols.size(), j, n_blocks, cpu::kBlockUnit);
    const Range ns{cols.begin + part.begin, cols.begin + part.end};
    for (std::int64_t i = 0; i < k_blocks; ++i) {
      const Range ks = cpu::part_of(k, i, k_blocks, cpu::kBlockUnit);
      pack_panels(g, ks, ns, scratch, row);
      multiply_strips(g, ks, rows, ns, scratch, strip);
    }
  }
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(gemm_block_simd);

void gemm_block(const Gemm& g, Range rows, Range cols, float* scratch) {
  if (rows.size() > 0 && cols.size() > 0) HWY_DYNAMIC_DISPATCH(gemm_block_simd)(g, rows, cols, scratch);
}

}  // namespace rankine::cpu
#endif
