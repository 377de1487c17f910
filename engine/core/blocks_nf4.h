// Blocks of NormalFloat4; the layouts stand in block_formats.h. Included by block_formats.cpp alone.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/nf4.h"

namespace rankine::blocks {

// 64 numbers times `scale`, two to a byte, the first in the high half.
inline void decode_nf4(const std::uint8_t* codes, float scale, float* y) {
  for (int i = 0; i < 32; ++i) {
    y[2 * i] = kNf4Table[codes[i] >> 4] * scale;
    y[2 * i + 1] = kNf4Table[codes[i] & 15U] * scale;
  }
}

inline float absmax(const float* x) {
  float most = 0.0F;
  for (int i = 0; i < 64; ++i) most = std::max(most, std::abs(x[i]));
  return most;
}

inline void encode_nf4(const float* x, float most, std::uint8_t* codes) {
  const float inverse = most == 0.0F ? 0.0F : 1.0F / most;
  for (int i = 0; i < 32; ++i)
    codes[i] =
        static_cast<std::uint8_t>(nearest_nf4(x[2 * i] * inverse) << 4 | nearest_nf4(x[2 * i + 1] * inverse));
}

struct Nf4 {
  static constexpr int kElements = 64;
  std::uint8_t codes[32];
  float scale;

  void decode(float* y) const { decode_nf4(codes, scale, y); }
  void encode(const float* x) {
    scale = absmax(x);
    encode_nf4(x, scale, codes);
  }
};

struct Nf4Dq {
  static constexpr int kElements = 256;
  std::uint8_t codes[128], scales[4];
  float nested, offset;

  void decode(float* y) const {
    for (int b = 0; b < 4; ++b)
      decode_nf4(codes + 32 * b, kNf4ScaleMap[scales[b]] * nested + offset, y + 64 * b);
  }
};

// Double quantisation needs all of a tensor: `offset` is the mean of its absmax, `nested` the largest
// magnitude of what remains in each 256 of them. Calls put(k, block) for the k-th 256 numbers.
template <class Put>
void encode_nf4_dq(std::span<const float> x, const Put& put) {
  std::vector<float> most(x.size() / 64);
  double sum = 0.0;
  for (std::size_t b = 0; b < most.size(); ++b) sum += most[b] = absmax(&x[64 * b]);
  const auto offset = static_cast<float>(sum / static_cast<double>(most.size()));
  for (std::size_t first = 0; first < most.size(); first += 256) {
    const std::size_t end = std::min(first + 256, most.size());
    float nested = 0.0F;
    for (std::size_t b = first; b < end; ++b) nested = std::max(nested, std::abs(most[b] - offset));
    const float inverse = nested == 0.0F ? 0.0F : 1.0F / nested;
    for (std::size_t b = first; b < end; b += 4) {
      Nf4Dq block{{}, {}, nested, offset};
      for (std::size_t i = 0; i < 4; ++i) {
        block.scales[i] = nearest_nf4_scale((most[b + i] - offset) * inverse);
        encode_nf4(&x[64 * (b + i)], most[b + i], block.codes + 32 * i);
      }
      put(b / 4, block);
    }
  }
}

}  // namespace rankine::blocks
