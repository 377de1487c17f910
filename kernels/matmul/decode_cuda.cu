// Weights decoded to fp16, bf16 or fp32. A thread decodes eight numbers of a block and writes them in one or
// two stores of 16 bytes; a warp reads 256 numbers, eight blocks of 32 or one of 256, side by side.
#include "kernels/matmul/decode_cuda.h"

#include "kernels/common/launch.cuh"
#include "kernels/matmul/stored_rows_cuda.cuh"

namespace rankine::cuda {
namespace {

constexpr std::string_view kName = "decode_weight";

template <class F>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(void* __restrict__ to, DType type, const std::uint8_t* __restrict__ w, std::int64_t n) {
  __shared__ float table[16];
  load_table<F>(table);
  constexpr int kPerBlock = F::kElements / 8;
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < n / 8; i += stride) {
    Eight y;
    F::decode(w + i / kPerBlock * F::kBytes, static_cast<int>(i % kPerBlock) * 8, table, y);
    store_activations(to, type, {8 * i, n, true}, y);
  }
}

// Numbers stored one by one.
struct Convert {
  void* to;
  const void* w;
  DType to_type, w_type;
  std::int64_t n;
  bool aligned;
  __device__ void operator()(std::int64_t i) const {
    const RowPlace at{8 * i, n, aligned && 8 * i + 8 <= n};
    store_activations(to, to_type, at, load_activations(w, w_type, at));
  }
};

void decode_blocks_to(CudaStream stream, void* to, DType to_type, const void* w, DType type, std::int64_t n) {
  with_block_format(kName, type, [&](auto format) {
    const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, (n / 8 + kThreads - 1) / kThreads));
    launch({.op = kName, .grid = blocks, .block = kThreads, .stream = stream, .sizes = {n}},
           decode_kernel<decltype(format)>, to, to_type, static_cast<const std::uint8_t*>(w), n);
  });
}

}  // namespace

void decode_weight(CudaStream stream, void* to, DType to_type, const void* w, DType w_type, std::int64_t out,
                   std::int64_t in) {
  require<ShapeError>(reinterpret_cast<std::uintptr_t>(to) % 16 == 0, kName,
                      ": the result must be aligned to 16 bytes");
  const std::int64_t n = out * in;
  if (n == 0) return;
  if (to_type == w_type && !is_block(w_type)) return copy_bytes(stream, to, w, bytes_of(w_type, n));
  with_float_type(kName, to_type, [](auto) {});  // throws for others
  if (is_block(w_type)) return decode_blocks_to(stream, to, to_type, w, w_type, n);
  with_float_type(kName, w_type, [](auto) {});
  for_each(kName, stream, (n + 7) / 8, Convert{to, w, to_type, w_type, n, plain_aligned(w, w_type, 8)});
}

}  // namespace rankine::cuda
