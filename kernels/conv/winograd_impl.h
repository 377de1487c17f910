// The parts of winograd.h that are compiled once per instruction set.
#pragma once

#include "kernels/conv/winograd.h"

namespace rankine::cpu {

struct Span64 {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// Which tiles of the convolution a chunk holds.
struct WinogradChunk {
  float* v;
  Span64 tiles;
};

// Output channels multiplied at a time.
inline std::int64_t winograd_columns(const WinogradArgs& a) {
  return a.adjoint ? a.sizes.wide() : WinogradSizes::kColumns;
}

// Work of winograd_input: each item is some tiles times a vector of channels.
std::int64_t winograd_input_items(const WinogradArgs& a, const WinogradChunk& chunk);
// V, plane-major, then block of channels. Adjoint: a row of pitch kStripPitch per tile. Forward: panels of
// tiles, a line of them per channel.
void winograd_input(const WinogradArgs& a, const WinogradChunk& chunk, Span64 items);
// U of output channels [cols) and input channels ks: 16 planes of WinogradSizes::filter_plane() floats.
// Adjoint: panels, a line of output channels per input channel. Forward: a row of pitch kStripPitch per
// output channel.
void winograd_filter(const WinogradArgs& a, float* u, Span64 ks, Span64 cols);
// M = or, but for the first channels, += U ⊙ V in every plane, for tiles [tiles) of the chunk, from a
// multiple of kTileUnit on. Adjoint: a line of winograd_columns() per tile; forward: a line of tiles_pitch()
// per output channel.
struct WinogradStep {
  std::int64_t block;
  Span64 ks;  // forward: the whole block
};
void winograd_multiply(const WinogradArgs& a, const WinogradChunk& chunk, const WinogradStep& step,
                       Span64 tiles, Span64 cols, float* scratch);
// The outputs of tiles [tiles) of the convolution and channels [cols) from M.
void winograd_output(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols);

// Channels of block `i`.
inline Span64 winograd_k_block(const WinogradSizes& s, std::int64_t i) {
  const std::int64_t units = (s.from + 15) / 16, blocks = s.k_blocks();
  return {std::min(s.from, units * i / blocks * 16), std::min(s.from, units * (i + 1) / blocks * 16)};
}

}  // namespace rankine::cpu
