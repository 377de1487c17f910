// 3x3 convolutions of stride 1 with 16 instead of 36 multiplications per 2x2 pixels: F(2x2, 3x3) of Lavin and
// Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
//
//   U = G g Gᵀ (filter)   V = Bᵀ d B (4x4 input tile)   M = sum over channels U ⊙ V   Y = Aᵀ M A (2x2
//   outputs)
//
// The transforms only add, subtract and halve, so the rounding stays that of the direct sum. Filters are
// transformed block by block into cache, never stored, and land where the inner loop reads them: as its right
// side (panels) in the adjoint, whose filters lie beside each other in `to`, as its left side (strips) in the
// forward map, where they lie beside each other in `from`; M then has a line of tiles per channel. The larger
// tiles of the same paper lose digits and are not used. Every element of the result is one sum in a fixed
// order: the number of threads changes no bit.
#pragma once

#include <algorithm>
#include <cstdint>

#include "engine/core/dtype.h"
#include "engine/core/parallel.h"
#include "kernels/matmul/gemm.h"

namespace rankine::cpu {

inline constexpr int kWinogradPlanes = 16;

// A stride-1 convolution of maps (images, height, width, from) to (images, out_height, out_width, to): output
// pixel (y, x) sees the inputs from (y - pad, x - pad) on.
struct WinogradSizes {
  std::int64_t images, height, width, from, out_height, out_width, to, pad;

  static constexpr std::int64_t kColumns = 32;        // output channels multiplied at a time, at least
  static constexpr std::int64_t kMaxChunk = 256;      // tiles transformed at a time,
  static constexpr std::int64_t kMaxInput = 4 << 20;  // and the floats that they may take
  static constexpr std::int64_t kTileUnit = 32;       // tiles side by side, at most

  std::int64_t tiles_x() const { return (out_width + 1) / 2; }
  std::int64_t tiles_y() const { return (out_height + 1) / 2; }
  std::int64_t tiles() const { return images * tiles_y() * tiles_x(); }
  std::int64_t k_blocks() const {
    return std::max<std::int64_t>(1, (from - kBlockSlack + kBlockK - 1) / kBlockK);
  }
  std::int64_t fitting() const { return kMaxInput / (kWinogradPlanes * kStripPitch * k_blocks()); }
  std::int64_t chunk() const { return std::min({tiles(), kMaxChunk, fitting() / kTileUnit * kTileUnit}); }
  // Room for tiles side by side in whole vectors.
  std::int64_t chunk_room() const { return (chunk() + kTileUnit - 1) / kTileUnit * kTileUnit; }
  // A plane of transformed inputs; the extra line keeps the planes of one tile out of the same cache set.
  std::int64_t input_block() const { return chunk_room() * kStripPitch; }
  std::int64_t input_plane() const { return k_blocks() * input_block() + 16; }
  // Of products: a line of channels per tile, or a line of tiles per channel.
  std::int64_t tiles_pitch() const { return chunk_room() + 16; }
  std::int64_t product_plane() const { return std::max(tiles_pitch() * kColumns, chunk() * wide()) + 16; }
  // Output channels that the adjoint multiplies at a time: with few tiles many, so that filters are read in
  // long runs; and the parts into which it then cuts a block of channels, to keep U in the cache.
  std::int64_t wide() const { return chunk() <= 16 ? 320 : chunk() <= 64 ? 128 : kColumns; }
  std::int64_t parts() const {
    return (kBlockDepth * wide() + kBlockK * kColumns - 1) / (kBlockK * kColumns);
  }
  static constexpr std::int64_t filter_plane() { return kColumns * kStripPitch + 16; }

  // Floats of scratch: the transformed inputs, then per thread filters and products.
  std::int64_t thread_scratch() const { return kWinogradPlanes * (filter_plane() + product_plane()); }
  std::int64_t scratch(std::int64_t threads) const {
    return kWinogradPlanes * input_plane() + threads * thread_scratch();
  }
};

struct WinogradArgs {
  float* to;
  const float* from;
  const void*
      w;  // (rows, 3, 3, cols): forward (to, 3, 3, from); adjoint, with turned filters, (from, 3, 3, to)
  DType dtype;
  bool adjoint;
  const float* bias;
  bool accumulate;
  WinogradSizes sizes;
  float* scratch;
};

// Whether it beats the direct product: few filters per pixel or few channels do not repay the transforms.
bool winograd_pays(const WinogradSizes& s, bool adjoint);
void winograd(ThreadPool& pool, const WinogradArgs& a);

}  // namespace rankine::cpu
