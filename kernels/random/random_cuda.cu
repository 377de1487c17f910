// CUDA side of random.h: fp32, grid-stride, one thread per block of four words.
// Uniform numbers and dropout masks equal the host's bits; normal numbers differ from them by the last places
// of the device's logarithm, sine and cosine.
#include "kernels/common/launch.cuh"
#include "kernels/random/random_impl.h"

namespace rankine::cuda {
namespace {

struct Words {
  std::uint32_t w[4];
};

// philox::generate of engine/core/philox.h, for the device.
__device__ Words generate(const RandomStream& s, std::uint32_t block) {
  std::uint32_t x0 = block, x1 = s.sample, x2 = s.step, x3 = s.purpose;
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

__device__ float to_uniform(std::uint32_t word) { return (static_cast<float>(word >> 9) + 0.5F) * 0x1p-23F; }

struct Uniform {
  float* y;
  std::int64_t n;
  RandomStream stream;
  float low, width;
  __device__ void operator()(std::int64_t block) const {
    const Words words = generate(stream, static_cast<std::uint32_t>(block));
    for (int j = 0; j < 4 && 4 * block + j < n; ++j)
      y[4 * block + j] = fmaf(to_uniform(words.w[j]), width, low);
  }
};

struct Gaussian {
  float* y;
  std::int64_t n;
  RandomStream stream;
  __device__ void operator()(std::int64_t block) const {
    const Words words = generate(stream, static_cast<std::uint32_t>(block));
    float out[4];
    for (int pair = 0; pair < 4; pair += 2) {
      const float radius = sqrtf(-2.0F * logf(to_uniform(words.w[pair])));
      float sine, cosine;
      sincosf(6.283185307179586F * to_uniform(words.w[pair + 1]), &sine, &cosine);
      out[pair] = radius * cosine;
      out[pair + 1] = radius * sine;
    }
    for (int j = 0; j < 4 && 4 * block + j < n; ++j) y[4 * block + j] = out[j];
  }
};

struct Dropout {
  DropoutArgs a;
  RandomStream stream;
  float scale;
  __device__ void operator()(std::int64_t block) const {
    const Words words = generate(stream, static_cast<std::uint32_t>(block));
    for (int j = 0; j < 4; ++j) {
      const std::int64_t i = 4 * block + j;
      if (i < a.n) a.y[i] = to_uniform(words.w[j]) >= a.p ? a.x[i] * scale : 0.0F;
    }
  }
};

constexpr std::int64_t blocks_of(std::int64_t n) { return (n + 3) / 4; }

}  // namespace

void fill_uniform(CudaStream cuda, float* y, std::int64_t n, const RandomStream& stream, UniformRange range) {
  for_each("fill_uniform", cuda, blocks_of(n), Uniform{y, n, stream, range.low, range.high - range.low});
}

void fill_normal(CudaStream cuda, float* y, std::int64_t n, const RandomStream& stream) {
  for_each("fill_normal", cuda, blocks_of(n), Gaussian{y, n, stream});
}

void dropout(CudaStream cuda, const DropoutArgs& a, const RandomStream& stream) {
  for_each("dropout", cuda, blocks_of(a.n), Dropout{a, stream, 1.0F / (1.0F - a.p)});
}

}  // namespace rankine::cuda
