// Panels of B from a weight stored in quantised blocks: rows are decoded by groups of 32 into a buffer in the
// first-level cache, then go the way of fp32 rows. Included once per target.
#if defined(RANKINE_KERNELS_MATMUL_GEMM_PACK_BLOCKS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RANKINE_KERNELS_MATMUL_GEMM_PACK_BLOCKS_INL_H_
#undef RANKINE_KERNELS_MATMUL_GEMM_PACK_BLOCKS_INL_H_
#else
#define RANKINE_KERNELS_MATMUL_GEMM_PACK_BLOCKS_INL_H_
#endif

#include "kernels/common/row_decoder.h"
#include "kernels/matmul/gemm_pack-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {

using cpu::kDecodeGroup;

// Elements of a quantised weight by their offset in elements from its start.
struct BlockRows {
  const std::uint8_t* data;
  cpu::RowDecoder decode;
  std::int64_t elements, bytes;  // of a block

  explicit BlockRows(const Right& b)
      : data(static_cast<const std::uint8_t*>(b.data)),
        decode(cpu::row_decoder(b.dtype)),
        elements(block_of(b.dtype).elements),
        bytes(static_cast<std::int64_t>(block_of(b.dtype).bytes)) {}

  // The block that begins at `offset`, a multiple of `elements`.
  const std::uint8_t* at(std::int64_t offset) const { return data + offset / elements * bytes; }
  void prefetch(std::int64_t offset, Range window) const {
    const std::uint8_t* end = at(offset) + window.end * bytes / elements;
    for (const std::uint8_t* p = at(offset) + window.begin * bytes / elements; p < end; p += 64)
      hwy::Prefetch(p);
  }
  // Columns [window) of the row at `offset`, decoded by whole groups from y on; returns the first of the
  // window.
  const float* read(std::int64_t offset, Range window, float* y) const {
    const std::int64_t skip = window.begin % kDecodeGroup;
    const std::int64_t count = (skip + window.size() + kDecodeGroup - 1) / kDecodeGroup * kDecodeGroup;
    decode(at(offset), window.begin - skip, count, y);
    return y + skip;
  }
};

// Elements of a row that are decoded before they are transposed: kLanes rows of them stay in the first-level
// cache, an odd number of cache lines apart.
inline constexpr std::int64_t kDecodeRun = 128, kDecodePitch = kDecodeRun + 16;

HWY_INLINE void pack_blocks_by_column(const PanelBlock& p, const Right& b, Range ks) {
  const BlockRows w(b);
  alignas(64) float buffer[kLanes * kDecodePitch];
  float* panel = p.data;
  for (std::int64_t n = p.cols.begin; n < p.cols.end;) {
    const std::int64_t width = panel_width(p.cols.end - n);
    for (std::int64_t v = 0; v < width; v += kLanes) {
      const std::int64_t valid = std::clamp<std::int64_t>(p.cols.end - n - v, 0, kLanes);
      clear(buffer + valid * kDecodePitch, (kLanes - valid) * kDecodePitch);
      for (std::int64_t k = ks.begin; k < ks.end;) {
        const Range run{k, std::min(ks.end, (k / kDecodeRun + 1) * kDecodeRun)};
        const float* rows[kLanes];
        for (std::int64_t i = 0; i < kLanes; ++i) {
          float* y = buffer + i * kDecodePitch;
          rows[i] = i < valid ? w.read((n + v + i) * b.pitch, run, y) : y;
        }
        transpose_panel<true, float>(panel + (p.at + k - ks.begin) * width + v, width, rows, run.size(),
                                     b.scale, 0);
        k = run.end;
      }
    }
    panel += p.depth * width;
    n += width;
  }
}

HWY_INLINE void pack_blocks_by_row(const PanelBlock& p, const Right& b, Range ks) {
  constexpr std::int64_t kAhead = 8;
  const BlockRows w(b);
  alignas(64) float buffer[cpu::kMaxBlockN + 2 * kDecodeGroup];
  for (std::int64_t k = ks.begin; k < ks.end; ++k) {
    w.prefetch(row_offset(b, std::min(k + kAhead, ks.end - 1)), p.cols);
    scatter_row<float>(p, k - ks.begin, w.read(row_offset(b, k), p.cols, buffer), b.scale);
  }
}

HWY_INLINE void pack_blocks(const PanelBlock& p, const Right& b, Range ks) {
  if (b.order == Right::Order::by_column)
    pack_blocks_by_column(p, b, ks);
  else
    pack_blocks_by_row(p, b, ks);
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard per target
