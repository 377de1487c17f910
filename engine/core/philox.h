// Philox4x32-10 counter-based random numbers (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
// SC 2011). A number is a pure function of (seed, purpose, step, sample, element): nothing to store for
// recompute or resume, and the same on every device.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <string_view>

namespace rankine {

// What the numbers are for. Hashing a name keeps uses apart without a central list.
constexpr std::uint32_t purpose(std::string_view name) {
  std::uint32_t h = 2166136261U;  // FNV-1a
  for (const char ch : name) h = (h ^ static_cast<std::uint8_t>(ch)) * 16777619U;
  return h;
}

// Step and first sample of the work under way, in device memory: what a recording of it (step_graph.h) reads
// in their place.
struct LiveStep {
  std::uint32_t step = 0;
  std::uint32_t first_sample = 0;
};

// One stream of random numbers: elements 0, 1, 2, ... of it are independent.
struct RandomStream {
  std::uint64_t seed = 0;
  std::uint32_t purpose = 0;
  std::uint32_t step = 0;
  std::uint32_t sample = 0;
  // Device memory or null. Where there is one, kernels take live->step for step and add live->first_sample to
  // sample; the host cannot make these numbers.
  const LiveStep* live = nullptr;
};

namespace philox {

using Block = std::array<std::uint32_t, 4>;

// Four 32-bit words for the elements 4*block .. 4*block+3 of a stream.
constexpr Block generate(const RandomStream& s, std::uint32_t block) {
  Block x{block, s.sample, s.step, s.purpose};
  auto k0 = static_cast<std::uint32_t>(s.seed);
  auto k1 = static_cast<std::uint32_t>(s.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53U} * x[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57U} * x[2];
    x = {static_cast<std::uint32_t>(p1 >> 32) ^ x[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ x[3] ^ k1, static_cast<std::uint32_t>(p0)};
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return x;
}

// A word as a number in (0, 1): 23 bits and a half, which is exact, so never 0 and never 1.
constexpr float to_uniform(std::uint32_t word) { return (static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F; }

// Four standard normal numbers by Box-Muller on the pairs (0,1) and (2,3).
inline std::array<float, 4> to_normal(const Block& w) {
  std::array<float, 4> out{};
  for (int pair = 0; pair < 4; pair += 2) {
    const float radius = std::sqrt(-2.0F * std::log(to_uniform(w[pair])));
    const float angle = 6.283185307179586F * to_uniform(w[pair + 1]);
    out[pair] = radius * std::cos(angle);
    out[pair + 1] = radius * std::sin(angle);
  }
  return out;
}

}  // namespace philox

// Uniform numbers on the host, one after another: for decisions of the data loader and the task.
class HostRandom {
 public:
  // Throws std::logic_error for a stream of a live step.
  explicit HostRandom(RandomStream stream) : stream_(stream) {
    if (stream.live) throw std::logic_error("random numbers of a recorded step are made on the device");
  }
  std::uint32_t word() {
    if (at_ % 4 == 0) block_ = philox::generate(stream_, at_ / 4);
    return block_[at_++ % 4];
  }
  float uniform() { return philox::to_uniform(word()); }
  // Integer in [0, n), unbiased enough for n << 2^32.
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((std::uint64_t{word()} * n) >> 32);
  }

 private:
  RandomStream stream_;
  philox::Block block_{};
  std::uint32_t at_ = 0;
};

}  // namespace rankine
