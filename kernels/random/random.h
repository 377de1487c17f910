// Philox numbers as tensors (engine/core/philox.h). Element i of y is word i of the stream, on every device.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

void fill_uniform(const Context& c, Tensor& y, const RandomStream& stream, float low,
                  float high);                                              // in (low, high)
void fill_normal(const Context& c, Tensor& y, const RandomStream& stream);  // N(0, 1)
// y = x * keep / (1 - p), keep = [u >= p] with u of the stream: inverted dropout. In place allowed. Its
// adjoint is itself.
void dropout(const Context& c, Tensor& y, const Tensor& x, const RandomStream& stream, float p);

}  // namespace rankine
