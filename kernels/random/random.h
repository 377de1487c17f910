// Philox numbers as tensors (engine/core/philox.h). Element i of y is word i of the stream, on every device.
// fp32 on the CPU; on CUDA y (and x, of the same type) may be fp32, fp16 or bf16: the fp32 numbers, rounded.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// y = low + (high - low) u, u uniform in (0, 1).
void fill_uniform(const Context& c, Tensor& y, const RandomStream& stream, float low, float high);
// Standard normal, by Box-Muller on pairs of words: on the CPU the bits of philox::to_normal, on CUDA those
// but for the last places of logarithm, sine and cosine.
void fill_normal(const Context& c, Tensor& y, const RandomStream& stream);
// y = x * keep / (1 - p), keep = [u >= p] with u of the stream, p in [0, 1): inverted dropout. In place
// allowed. Its adjoint is itself.
void dropout(const Context& c, Tensor& y, const Tensor& x, const RandomStream& stream, float p);

}  // namespace rankine
