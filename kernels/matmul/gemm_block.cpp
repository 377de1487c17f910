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

constexpr std::int64_t kStripFloats = kStripWidth * cpu::kBlockDepth;
constexpr std::int64_t kMaxStrips = strips_of(cpu::kBlockM);
constexpr bool strips_fit() {
  for (std::int64_t m = 1; m <= cpu::kBlockM; ++m) {
    if (strips_of(m) * kStripFloats > cpu::strip_scratch(m)) return false;
  }
  return kTileRows * kStripPitch <= cpu::strip_scratch(1);
}
static_assert(strips_fit());
// Up to so many columns the elements of A are used too few times to pay for turning them into lines.
constexpr std::int64_t kNarrowCols = 96;

// A strip of A: up to kTileRows rows of a block of K.
struct Strip {
  Range rows;
  const float* a;
  bool lines;  // its layout (gemm_tile-inl.h)
};

HWY_INLINE Range strip_of(Range rows, std::int64_t s) {
  const Range part = cpu::part_of(rows.size(), s, strips_of(rows.size()));
  return {rows.begin + part.begin, rows.begin + part.end};
}

// The strip of those rows, copied to `to`.
HWY_INLINE Strip make_strip(const Gemm& g, Range ks, Range rows, bool lines, float* to) {
  const cpu::Left* left = g.terms.empty() ? nullptr : &g.terms[0].a;
  if (left && left->transposed) lines = true;
  for_terms(g, ks, [&](const Term& term, Range local, std::int64_t at) HWY_ATTR {
    if (lines)
      pack_lines(to + at * kStripWidth, term.a, rows, local);
    else
      pack_rows(to + at, term.a, rows, local);
  });
  return {rows, to, lines};
}

// The tiles of C[strip, cols] for one block of K.
HWY_INLINE void multiply_strip(const Gemm& g, Range ks, const Strip& strip, Range cols, const float* panels) {
  const bool first = ks.begin == 0;
  float* c[kTileRows];
  for (std::int64_t i = 0; i < strip.rows.size(); ++i) c[i] = g.c.row(strip.rows.begin + i);
  const TileLayout layout = strip.lines ? TileLayout::lines : TileLayout::rows;
  const TileFn narrow = tile_function(strip.rows.size(), 1, layout),
               wide = tile_function(strip.rows.size(), 2, layout);
  Tile t{strip.a, panels, ks.size(), c, cols.begin, 0, first ? g.bias : nullptr, g.accumulate || !first};
  while (t.column < cols.end) {
    const std::int64_t width = panel_width(cols.end - t.column);
    t.columns = std::min(width, cols.end - t.column);
    (width == kLanes ? narrow : wide)(t);
    t.b += panel_depth(ks) * width;
    t.column += width;
  }
}

// C[rows, cols] where one block of B has all columns: every strip of A is used as soon as it is copied.
HWY_INLINE void multiply_narrow(const Gemm& g, Range ks, Range rows, Range cols, const float* panels,
                                float* strip) {
  const bool lines = cols.size() > kNarrowCols;
  for (std::int64_t s = 0; s < strips_of(rows.size()); ++s)
    multiply_strip(g, ks, make_strip(g, ks, strip_of(rows, s), lines, strip), cols, panels);
}

static_assert(cpu::kBlockUnit % kTileCols == 0 && cpu::kBlockN % cpu::kBlockUnit == 0 &&
              cpu::kBlockK % cpu::kBlockUnit == 0 && cpu::kBlockSlack % cpu::kBlockUnit == 0);

// So many columns of a block of `k` rows of B fill the space for panels.
HWY_INLINE std::int64_t columns_of_block(std::int64_t k) {
  const std::int64_t room = cpu::kPanelScratch / (k + cpu::kPanelGap) / cpu::kBlockUnit * cpu::kBlockUnit;
  return std::clamp(room, cpu::kBlockN, cpu::kMaxBlockN);
}
HWY_INLINE std::int64_t blocks_of(std::int64_t n, std::int64_t most) { return (n + most - 1) / most; }

void gemm_block_simd(const Gemm& g, Range rows, Range cols, float* scratch) {
  float* row = scratch + cpu::kPanelScratch;
  float* strips = row + cpu::kMaxBlockN;
  const std::int64_t k = g.k();
  const std::int64_t k_blocks = std::max<std::int64_t>(1, blocks_of(k - cpu::kBlockSlack, cpu::kBlockK));
  const std::int64_t m_blocks = blocks_of(rows.size(), cpu::kBlockM);
  const std::int64_t n_blocks = blocks_of(cols.size(), columns_of_block(std::min(k, cpu::kBlockDepth)));
  for (std::int64_t i = 0; i < k_blocks; ++i) {
    const Range ks = cpu::part_of(k, i, k_blocks, cpu::kBlockUnit);
    if (n_blocks == 1) {
      pack_panels(g, ks, cols, scratch, row);
      multiply_narrow(g, ks, rows, cols, scratch, strips);
      continue;
    }
    for (std::int64_t m = 0; m < m_blocks; ++m) {
      const Range m_part = cpu::part_of(rows.size(), m, m_blocks);
      const Range ms{rows.begin + m_part.begin, rows.begin + m_part.end};
      Strip all[kMaxStrips];
      for (std::int64_t s = 0; s < strips_of(ms.size()); ++s)
        all[s] = make_strip(g, ks, strip_of(ms, s), true, strips + s * kStripFloats);
      for (std::int64_t j = 0; j < n_blocks; ++j) {
        const Range part = cpu::part_of(cols.size(), j, n_blocks, cpu::kBlockUnit);
        const Range ns{cols.begin + part.begin, cols.begin + part.end};
        pack_panels(g, ks, ns, scratch, row);
        for (std::int64_t s = 0; s < strips_of(ms.size()); ++s) multiply_strip(g, ks, all[s], ns, scratch);
      }
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
