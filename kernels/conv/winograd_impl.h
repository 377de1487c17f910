// The transforms of winograd.h, compiled once per instruction set.
#pragma once

#include "kernels/conv/winograd.h"

namespace rankine::cpu {

struct Span64 {
  std::int64_t begin, end;
  std::int64_t size() const { return end - begin; }
};

// V of tiles [tiles): plane-major, then block of channels, then tile (counted from `first_tile`), pitch
// kStripPitch.
void winograd_input(const WinogradArgs& a, float* v, std::int64_t first_tile, Span64 tiles);
// U of filters [rows) x [cols): 16 planes of WinogradSizes::filter_plane() floats, row pitch `pitch`.
void winograd_filter(const WinogradArgs& a, float* u, std::int64_t pitch, Span64 rows, Span64 cols);
// The outputs of tiles [tiles) and channels [cols) from M: 16 planes, one row of kColumns floats per tile.
void winograd_output(const WinogradArgs& a, const float* m, Span64 tiles, Span64 cols);

// Channels of block `i`.
inline Span64 winograd_k_block(const WinogradSizes& s, std::int64_t i) {
  const std::int64_t units = (s.from + 15) / 16, blocks = s.k_blocks();
  return {std::min(s.from, units * i / blocks * 16), std::min(s.from, units * (i + 1) / blocks * 16)};
}

}  // namespace rankine::cpu
