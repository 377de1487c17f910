// Blocks of 32 numbers, bytes as in GGUF and ggjt: `decode` writes them, `encode` rounds as ggml's reference
// does. Byte j of qs holds number j in its low half and number j + 16 in its high half. Included by
// block_formats.cpp alone.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "engine/core/half.h"

namespace rankine::blocks {

inline float low(std::uint8_t byte) { return static_cast<float>(byte & 15U); }
inline float high(std::uint8_t byte) { return static_cast<float>(byte >> 4); }

// Truncates to 0 .. largest; a NaN becomes 0.
inline std::uint8_t code(float x, int largest) {
  if (!(x > 0.0F)) return 0;
  return static_cast<std::uint8_t>(std::min(x, static_cast<float>(largest)));
}
inline float inverse(float d) { return d == 0.0F ? 0.0F : 1.0F / d; }

// The first number of largest magnitude, with its sign.
inline float signed_peak(const float* x) {
  float peak = x[0];
  for (int i = 1; i < 32; ++i)
    if (std::abs(x[i]) > std::abs(peak)) peak = x[i];
  return peak;
}

inline void store(Half& to, float x) { to = to_half(x); }
inline void store(float& to, float x) { to = x; }

inline bool bit(const std::uint8_t* bits, int i) { return (bits[i / 8] >> (i % 8) & 1) != 0; }
// A number 0 .. 31: half a byte and its fifth bit.
inline float five(std::uint8_t half, bool fifth) { return static_cast<float>(half | (fifth ? 16 : 0)); }

inline void pack_halves(const std::uint8_t* codes, std::uint8_t* qs) {
  for (int j = 0; j < 16; ++j)
    qs[j] = static_cast<std::uint8_t>((codes[j] & 15U) | (codes[j + 16] & 15U) << 4);
}
inline void pack_fifths(const std::uint8_t* codes, std::uint8_t* qh) {
  for (int i = 0; i < 32; ++i) qh[i / 8] = static_cast<std::uint8_t>(qh[i / 8] | (codes[i] >> 4) << (i % 8));
}

// y = (q - 8) d
template <class Scale>
struct Q4_0 {
  static constexpr int kElements = 32;
  Scale d;
  std::uint8_t qs[16];

  void decode(float* y) const {
    const float scale = to_float(d);
    for (int j = 0; j < 16; ++j) {
      y[j] = (low(qs[j]) - 8.0F) * scale;
      y[j + 16] = (high(qs[j]) - 8.0F) * scale;
    }
  }
  void encode(const float* x) {
    const float scale = signed_peak(x) / -8.0F, id = inverse(scale);
    std::uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = code(x[i] * id + 8.5F, 15);
    pack_halves(codes, qs);
    store(d, scale);
  }
};

// y = q d + m
template <class Scale>
struct Q4_1 {
  static constexpr int kElements = 32;
  Scale d, m;
  std::uint8_t qs[16];

  void decode(float* y) const {
    const float scale = to_float(d), offset = to_float(m);
    for (int j = 0; j < 16; ++j) {
      y[j] = low(qs[j]) * scale + offset;
      y[j + 16] = high(qs[j]) * scale + offset;
    }
  }
  void encode(const float* x) {
    const auto [least, most] = std::minmax_element(x, x + 32);
    const float scale = (*most - *least) / 15.0F, id = inverse(scale);
    std::uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = code((x[i] - *least) * id + 0.5F, 15);
    pack_halves(codes, qs);
    store(d, scale);
    store(m, *least);
  }
};

// y = (q - 16) d, bit i of qh the fifth of number i
struct Q5_0 {
  static constexpr int kElements = 32;
  Half d;
  std::uint8_t qh[4], qs[16];

  void decode(float* y) const {
    const float scale = to_float(d);
    for (int j = 0; j < 16; ++j) {
      y[j] = (five(qs[j] & 15U, bit(qh, j)) - 16.0F) * scale;
      y[j + 16] = (five(qs[j] >> 4, bit(qh, j + 16)) - 16.0F) * scale;
    }
  }
  void encode(const float* x) {
    const float scale = signed_peak(x) / -16.0F, id = inverse(scale);
    std::uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = code(x[i] * id + 16.5F, 31);
    pack_halves(codes, qs);
    pack_fifths(codes, qh);
    store(d, scale);
  }
};

// y = q d + m
struct Q5_1 {
  static constexpr int kElements = 32;
  Half d, m;
  std::uint8_t qh[4], qs[16];

  void decode(float* y) const {
    const float scale = to_float(d), offset = to_float(m);
    for (int j = 0; j < 16; ++j) {
      y[j] = five(qs[j] & 15U, bit(qh, j)) * scale + offset;
      y[j + 16] = five(qs[j] >> 4, bit(qh, j + 16)) * scale + offset;
    }
  }
  void encode(const float* x) {
    const auto [least, most] = std::minmax_element(x, x + 32);
    const float scale = (*most - *least) / 31.0F, id = inverse(scale);
    std::uint8_t codes[32];
    for (int i = 0; i < 32; ++i) codes[i] = code((x[i] - *least) * id + 0.5F, 31);
    pack_halves(codes, qs);
    pack_fifths(codes, qh);
    store(d, scale);
    store(m, *least);
  }
};

// y = q d
template <class Scale>
struct Q8_0 {
  static constexpr int kElements = 32;
  Scale d;
  std::int8_t qs[32];

  void decode(float* y) const {
    const float scale = to_float(d);
    for (int i = 0; i < 32; ++i) y[i] = static_cast<float>(qs[i]) * scale;
  }
  void encode(const float* x) {
    const float scale = std::abs(signed_peak(x)) / 127.0F, id = inverse(scale);
    for (int i = 0; i < 32; ++i) {
      const float rounded = std::round(x[i] * id);  // halves away from zero
      qs[i] = static_cast<std::int8_t>(std::isnan(rounded) ? 0.0F : std::clamp(rounded, -127.0F, 127.0F));
    }
    store(d, scale);
  }
};

// y = K[q] d
struct Iq4Nl {
  static constexpr int kElements = 32;
  static constexpr float kTable[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};
  Half d;
  std::uint8_t qs[16];

  void decode(float* y) const {
    const float scale = to_float(d);
    for (int j = 0; j < 16; ++j) {
      y[j] = scale * kTable[qs[j] & 15U];
      y[j + 16] = scale * kTable[qs[j] >> 4];
    }
  }
};

}  // namespace rankine::blocks
