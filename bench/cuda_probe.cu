#include "bench/cuda_probe.h"
#include "kernels/common/intrinsics.cuh"
#include "kernels/common/launch.cuh"

namespace rankine::bench {
namespace {
using namespace rankine::cuda;

constexpr int kBlocksPerMultiprocessor = 2;  // of kThreads: four warps for each of its four schedulers
constexpr int kLanes = 32;
constexpr double kFlopsOfMma = 2.0 * 16 * 8 * 16;

// Two numbers in [-0.5, 0.5), others in every thread and register.
template <class T>
__device__ std::uint32_t random_pair(std::uint32_t i) {
  const std::uint32_t word = (threadIdx.x * 8 + i + 1) * 2654435761U;
  return pack<T>(static_cast<float>(word >> 16) * 0x1p-16F - 0.5F,
                 static_cast<float>(word & 0xFFFFU) * 0x1p-16F - 0.5F);
}

template <class T>
__global__ void __launch_bounds__(kThreads) mma_probe_kernel(float* out, int rounds) {
  std::uint32_t a[4], b[2];
  for (std::uint32_t i = 0; i < 4; ++i) a[i] = random_pair<T>(i);
  for (std::uint32_t i = 0; i < 2; ++i) b[i] = random_pair<T>(i + 4);
  float d[kMmaChains][4] = {};
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int chain = 0; chain < kMmaChains; ++chain) mma_16x8x16<T>(d[chain], a, b);
  }
  float sum = 0;
#pragma unroll
  for (int chain = 0; chain < kMmaChains; ++chain)
    for (int i = 0; i < 4; ++i) sum += d[chain][i];
  out[std::int64_t{blockIdx.x} * kThreads + threadIdx.x] = sum;
}

}  // namespace

std::size_t l2_bytes(Device device) {
  int bytes = 0;
  const cudaError_t status = cudaDeviceGetAttribute(&bytes, cudaDevAttrL2CacheSize, device.index);
  require<Error>(status == cudaSuccess, device.to_string(), ": CUDA says: ", cudaGetErrorString(status));
  return static_cast<std::size_t>(bytes);
}

std::int64_t mma_probe_floats(int multiprocessors) {
  return std::int64_t{multiprocessors} * kBlocksPerMultiprocessor * kThreads;
}

double mma_probe(CudaStream stream, float* out, DType type, int multiprocessors, int rounds) {
  const auto blocks = static_cast<unsigned>(multiprocessors * kBlocksPerMultiprocessor);
  const Launch how{.op = "mma_probe", .grid = blocks, .block = kThreads, .stream = stream, .sizes = {rounds}};
  if (type == DType::bf16)
    launch(how, mma_probe_kernel<__nv_bfloat16>, out, rounds);
  else
    launch(how, mma_probe_kernel<__half>, out, rounds);
  return kFlopsOfMma * kMmaChains * rounds * blocks * (kThreads / kLanes);
}

}  // namespace rankine::bench
