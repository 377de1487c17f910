// 2-D convolution of channels-last maps. Weights are stored (out, kh, kw, in): each output row is one
// contiguous filter, so a 1x1 kernel is exactly a Linear (use matmul.h). Weight dtype f32, f16 or bf16. There
// is no im2col buffer: windows are gathered block by block into the product. Outputs must not overlap inputs.
// Neither the number of threads nor their order changes a bit. All throw ShapeError, naming the operation,
// for a wrong shape or type.
//
// CPU: activations fp32. Where it pays, 3x3 windows of stride 1 go through transformed tiles (see
// winograd.h); that choice follows from the sizes alone. Scratch: a few MB per thread and at most 17 MB of
// transformed input.
//
// CUDA: activations f16, bf16 or f32, all of one call the same, sums fp32, rounded once; a bias f32 or of the
// activations' type; dw fp32. A filter of the activations' type is read where it is, another is first rounded
// to it in scratch. f16 and bf16 channels in eights (forward: of x; else of x and y) run on tensor cores,
// others one number at a time. Long sums of few pixels are split, their parts (at most 32 MB of scratch)
// added in order; see conv_plan.h, and cudnn.h for the cards on which cuDNN takes over. Maps of at most 2^30
// pixels.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

struct Window {
  int size = 3;  // kernel height = width
  int stride = 1;
  int pad_before = 1;  // zeros above and left
  int pad_after = 1;   // zeros below and right (a VAE downsample has 0 before, 1 after)
  constexpr std::int64_t out(std::int64_t in) const {
    return (in + pad_before + pad_after - size) / stride + 1;
  }
};

Shape conv2d_out_shape(const Shape& x, std::int64_t out_channels, const Window& window);

// y (N, H', W', out) = conv(x (N, H, W, in), w (out, k, k, in)) + bias (out, optional).
// FLOPs are those of the direct convolution: 2 N H' W' out k² in.
void conv2d_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                    const Window& window);
// dx (N, H, W, in) = or += the transposed convolution of dy (N, H', W', out).
void conv2d_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w, const Window& window,
                    Write write);
// dw (out, k, k, in) += correlation of dy with x.
void conv2d_weight_grad(const Context& c, Tensor& dw, const Tensor& dy, const Tensor& x,
                        const Window& window);

// For people: the version of the cuDNN that convolutions on CUDA may use, or why none is used.
std::string cudnn_state();

}  // namespace rankine
