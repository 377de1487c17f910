// NormalFloat4 and its double quantisation (Dettmers et al., QLoRA, 2023), number for number as bitsandbytes
// has them.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace rankine {

// The 16 numbers of NF4: quantiles of N(0, 1) scaled to [-1, 1], with an exact zero.
inline constexpr std::array<float, 16> kNf4Table = {-1.0F,
                                                    -0.6961928009986877F,
                                                    -0.5250730514526367F,
                                                    -0.39491748809814453F,
                                                    -0.28444138169288635F,
                                                    -0.18477343022823334F,
                                                    -0.09105003625154495F,
                                                    0.0F,
                                                    0.07958029955625534F,
                                                    0.16093020141124725F,
                                                    0.24611230194568634F,
                                                    0.33791524171829224F,
                                                    0.44070982933044434F,
                                                    0.5626170039176941F,
                                                    0.7229568362236023F,
                                                    1.0F};

// What a `scale` of nf4_dq stands for, ascending: the signed dynamic map of 8 bits (Dettmers, 8-Bit
// Approximations for Parallelism in Deep Learning, 2015). Seven decades 10^-6 .. 1, the i-th with the middles
// of 2^i equal parts of [0.1, 1], both signs; 0 and 1. Bit for bit what current PyTorch builds compute, and
// what bitsandbytes stores as `nested_quant_map`; PyTorch before 2.0 differs in the last bit of some.
constexpr std::array<float, 256> make_nf4_scale_map() {
  constexpr std::array<float, 7> kDecades = {1e-6F, 1e-5F, 1e-4F, 1e-3F, 1e-2F, 1e-1F, 1.0F};
  // k-th of the n + 1 bounds of n parts, counted from the nearer end: exact in double, then one rounding.
  const auto bound = [](int k, int n) {
    const double step = (1.0F - 0.1F) / static_cast<float>(n);
    return static_cast<float>(k < (n + 1) / 2 ? 0.1F + step * k : 1.0 - step * (n - k));
  };
  std::array<float, 256> map{};
  for (unsigned p = 1; p < 128; ++p) {  // the p-th positive number
    const int n = static_cast<int>(std::bit_floor(p)), k = static_cast<int>(p) - n;
    const float decade = kDecades[static_cast<std::size_t>(std::bit_width(p)) - 1];
    map[127 + p] = decade * ((bound(k, n) + bound(k + 1, n)) / 2.0F);
    map[127 - p] = -map[127 + p];
  }
  map[255] = 1.0F;
  return map;
}
inline constexpr std::array<float, 256> kNf4ScaleMap = make_nf4_scale_map();

// The code whose number is nearest to x: between two, the lower. A NaN becomes code 0.
std::uint8_t nearest_nf4(float x);
std::uint8_t nearest_nf4_scale(float x);

}  // namespace rankine
