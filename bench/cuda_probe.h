// How fast the tensor cores of a card can go through the instruction that the kernels use, mma.sync.m16n8k16:
// a loop on registers that reads no memory. Newer cards have faster instructions; a kernel's distance to this
// rate is its own, the rest is the instruction's.
#pragma once

#include "engine/core/context.h"

namespace rankine::bench {

std::size_t l2_bytes(Device device);  // of a card

// One launch that fills a card of `multiprocessors`, each warp with `rounds` of kMmaChains products of fp16
// or bf16 numbers into fp32 sums. `out`: mma_probe_floats() fp32 numbers, overwritten, so that no product can
// be left out. Returns its FLOPs.
inline constexpr int kMmaChains = 8;  // independent sums: enough to hide the latency of the instruction
std::int64_t mma_probe_floats(int multiprocessors);
double mma_probe(CudaStream stream, float* out, DType type, int multiprocessors, int rounds);

}  // namespace rankine::bench
