// Weights decoded to fp16, bf16 or fp32. A thread decodes eight numbers of a block and writes them in one or
// two stores of 16 bytes; a warp reads 256 numbers, eight blocks of 32 or one of 256, side by side.
#include "kernels/matmul/decode_cuda.h"

#include "kernels/common/launch.cuh"
#include "kernels/matmul/decode_cuda.cuh"

namespace rankine::cuda {
namespace {

constexpr std::string_view kName = "decode_weight";

template <class F, class To>
__global__ void __launch_bounds__(kThreads)
    decode_kernel(To* __restrict__ to, const std::uint8_t* __restrict__ w, std::int64_t eighths) {
  __shared__ float table[16];
  load_table<F>(table);
  constexpr int kPerBlock = F::kElements / 8;
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads;
  for (std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x; i < eighths; i += stride) {
    Eight y;
    F::decode(w + i / kPerBlock * F::kBytes, static_cast<int>(i % kPerBlock) * 8, table, y);
    store8(to + 8 * i, y);
  }
}

template <class To, class From>
struct ConvertEight {
  To* to;
  const From* w;
  std::int64_t n;
  bool aligned;
  __device__ void operator()(std::int64_t i) const {
    if (aligned && 8 * i + 8 <= n) return store8(to + 8 * i, load8(w + 8 * i));
    for (std::int64_t k = 8 * i; k < min(n, 8 * i + 8); ++k) to[k] = from_float<To>(to_float(w[k]));
  }
};

template <class To>
void decode_blocks_to(CudaStream stream, To* to, const void* w, DType type, std::int64_t n) {
  with_block_format(kName, type, [&](auto format) {
    const std::int64_t eighths = n / 8;
    const auto blocks = static_cast<unsigned>(std::min(kMaxBlocks, (eighths + kThreads - 1) / kThreads));
    launch({.op = kName, .grid = blocks, .block = kThreads, .stream = stream, .sizes = {n}},
           decode_kernel<decltype(format), To>, to, static_cast<const std::uint8_t*>(w), eighths);
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
  with_float_type(kName, to_type, [&](auto number) {
    using To = decltype(number);
    if (is_block(w_type)) return decode_blocks_to(stream, static_cast<To*>(to), w, w_type, n);
    with_float_type(kName, w_type, [&](auto stored) {
      using From = decltype(stored);
      if constexpr (!std::is_same_v<From, To>)
        for_each(kName, stream, (n + 7) / 8,
                 ConvertEight<To, From>{static_cast<To*>(to), static_cast<const From*>(w), n,
                                        aligned8<From>(w, 8)});
    });
  });
}

}  // namespace rankine::cuda
