// Blocks of 256 numbers: the K types of ggml (super-blocks whose small scales are themselves quantised).
// Number i lies in half h = i / 128 of the block, shift group s = i % 128 / 32, lane l = i % 32. Included by
// block_formats.cpp alone.
#pragma once

#include <cstdint>

#include "engine/core/half.h"

namespace rankine::blocks {

struct Place {
  int half, shift, lane;
};
inline Place place(int i) { return {i / 128, i % 128 / 32, i % 32}; }

// Two bits of number i, four numbers of a half to a byte.
inline int two_bits(const std::uint8_t* qs, int i) {
  const Place p = place(i);
  return qs[32 * p.half + p.lane] >> (2 * p.shift) & 3;
}

// d (s & 15) q - dmin (s >> 4), a scale byte s for each 16 numbers
struct Q2K {
  static constexpr int kElements = 256;
  std::uint8_t scales[16], qs[64];
  Half d, dmin;

  void decode(float* y) const {
    const float scale = to_float(d), least = to_float(dmin);
    for (int i = 0; i < 256; ++i) {
      const std::uint8_t s = scales[i / 16];
      y[i] = scale * static_cast<float>(s & 15) * static_cast<float>(two_bits(qs, i)) -
             least * static_cast<float>(s >> 4);
    }
  }
};

// d (S - 32) q with 6-bit S for each 16 numbers; q - 4 where the bit of hmask is not set
struct Q3K {
  static constexpr int kElements = 256;
  std::uint8_t hmask[32], qs[64], scales[12];
  Half d;

  int scale_of(int j) const {
    const int lower = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    const int upper = scales[8 + j % 4] >> (2 * (j / 4)) & 3;
    return lower | upper << 4;
  }
  void decode(float* y) const {
    const float scale = to_float(d);
    for (int i = 0; i < 256; ++i) {
      const Place p = place(i);
      const bool third = (hmask[p.lane] >> (4 * p.half + p.shift) & 1) != 0;
      const int q = two_bits(qs, i) - (third ? 0 : 4);
      y[i] = scale * static_cast<float>(scale_of(i / 16) - 32) * static_cast<float>(q);
    }
  }
};

// The 6-bit scale and minimum of eight groups of 32, packed in 12 bytes (Q4_K, Q5_K).
struct ScaleMin {
  float scale, least;
};
inline ScaleMin scale_min(const std::uint8_t* s, int j) {
  const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
  const int least = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | (s[j] >> 6) << 4;
  return {static_cast<float>(scale), static_cast<float>(least)};
}
// Four bits of number i: groups of 32 in pairs, the even one in the low halves.
inline int four_bits(const std::uint8_t* qs, int i) {
  const std::uint8_t byte = qs[32 * (i / 64) + i % 32];
  return i / 32 % 2 == 0 ? byte & 15 : byte >> 4;
}

// d sc q - dmin m
struct Q4K {
  static constexpr int kElements = 256;
  Half d, dmin;
  std::uint8_t scales[12], qs[128];

  void decode(float* y) const {
    for (int j = 0; j < 8; ++j) {
      const ScaleMin group = scale_min(scales, j);
      const float scale = to_float(d) * group.scale, least = to_float(dmin) * group.least;
      for (int i = 32 * j; i < 32 * j + 32; ++i) y[i] = scale * static_cast<float>(four_bits(qs, i)) - least;
    }
  }
};

// As Q4K, with a fifth bit in qh: bit j for group j
struct Q5K {
  static constexpr int kElements = 256;
  Half d, dmin;
  std::uint8_t scales[12], qh[32], qs[128];

  void decode(float* y) const {
    for (int j = 0; j < 8; ++j) {
      const ScaleMin group = scale_min(scales, j);
      const float scale = to_float(d) * group.scale, least = to_float(dmin) * group.least;
      for (int i = 32 * j; i < 32 * j + 32; ++i) {
        const int fifth = qh[i % 32] >> j & 1;
        y[i] = scale * static_cast<float>(four_bits(qs, i) | fifth << 4) - least;
      }
    }
  }
};

// d scale (q - 32): four bits in ql, two in qh, a signed scale for each 16 numbers
struct Q6K {
  static constexpr int kElements = 256;
  std::uint8_t ql[128], qh[64];
  std::int8_t scales[16];
  Half d;

  void decode(float* y) const {
    const float scale = to_float(d);
    for (int i = 0; i < 256; ++i) {
      const Place p = place(i);
      const std::uint8_t byte = ql[64 * p.half + 32 * (p.shift % 2) + p.lane];
      const int q = (p.shift < 2 ? byte & 15 : byte >> 4) | two_bits(qh, i) << 4;
      const int group = i / 16;
      y[i] = scale * static_cast<float>(scales[group]) * static_cast<float>(q - 32);
    }
  }
};

}  // namespace rankine::blocks
