// Changes of spatial size of channels-last maps, each with its adjoint. Both maps of one type: fp32; on CUDA
// also f16 and bf16, with sums in fp32. No scratch; neither threads nor blocks change a bit.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// y (N, H', W', C)[i, j] = x (N, H, W, C)[floor(i H / H'), floor(j W / W')]: nearest neighbour to any size H'
// >= H, W' >= W. y is overwritten.
void upsample_nearest_forward(const Context& c, Tensor& y, const Tensor& x);
// dx = sum of dy over the pixels that read each x. Overwrites dx.
void upsample_nearest_adjoint(const Context& c, Tensor& dx, const Tensor& dy);

}  // namespace rankine
