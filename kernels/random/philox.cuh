// Words of a stream on CUDA: those of engine/core/philox.h, to the bit. All device code draws through
// generate().
#pragma once

#include "engine/core/philox.h"
#include "kernels/common/launch.cuh"

namespace rankine::cuda {

struct Words {
  std::uint32_t w[4];
  __device__ __forceinline__ std::uint32_t at(int i) const {  // i in [0, 4), without memory
    return i == 0 ? w[0] : i == 1 ? w[1] : i == 2 ? w[2] : w[3];
  }
};

// philox::generate for the device: the words of elements 4 block .. 4 block + 3.
__device__ __forceinline__ Words generate(const RandomStream& s, std::uint32_t block) {
  const std::uint32_t step = s.live ? s.live->step : s.step;
  const std::uint32_t first = s.live ? s.live->first_sample : 0;
  std::uint32_t x0 = block, x1 = first + s.sample, x2 = step, x3 = s.purpose;
  auto k0 = static_cast<std::uint32_t>(s.seed), k1 = static_cast<std::uint32_t>(s.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint32_t high0 = __umulhi(0xD2511F53U, x0), low0 = 0xD2511F53U * x0;
    const std::uint32_t high1 = __umulhi(0xCD9E8D57U, x2), low1 = 0xCD9E8D57U * x2;
    x0 = high1 ^ x1 ^ k0;
    x1 = low1;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {{x0, x1, x2, x3}};
}

__device__ __forceinline__ float to_uniform(std::uint32_t word) {
  return (static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F;
}

}  // namespace rankine::cuda
