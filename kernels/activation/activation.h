// Pointwise nonlinearities and their gradients. x, y, dy, dx share one shape unless said. Gradients recompute
// from x, so a layer saves x only. y may be the same tensor as x, dx the same as dy. fp32 on the CPU; on CUDA
// the tensors of one call are all fp32, all fp16 or all bf16, computed in fp32 and rounded once.
#pragma once

#include "kernels/common/middle.h"

namespace rankine {

enum class Gelu : std::uint8_t {
  erf,    // x Phi(x), exact                                    (Hendrycks & Gimpel 2016)
  tanh,   // 0.5 x (1 + tanh(sqrt(2/pi)(x + 0.044715 x^3)))
  quick,  // x sigmoid(1.702 x)                                 (OpenAI CLIP)
};

void silu_forward(const Context& c, Tensor& y, const Tensor& x);  // y = x sigmoid(x)
void silu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x);

void gelu_forward(const Context& c, Tensor& y, const Tensor& x, Gelu kind);
void gelu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, Gelu kind);

// GEGLU (Shazeer 2020): x (..., 2F) = [value | gate], y (..., F) = value * gelu_erf(gate). dx (..., 2F), not
// aliasing.
void geglu_forward(const Context& c, Tensor& y, const Tensor& x);
void geglu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x);

// SwiGLU (Shazeer 2020): y = silu(gate) * up, of tensors of one shape. y may be gate or up.
void swiglu_forward(const Context& c, Tensor& y, const Tensor& gate, const Tensor& up);
// dgate = dy up silu'(gate), dup = dy silu(gate). Each may be the same tensor as dy, gate or up, but not as
// the other.
void swiglu_backward(const Context& c, Tensor& dgate, Tensor& dup, const Tensor& dy, const Tensor& gate,
                     const Tensor& up);
// The same of x (..., 2F) = [gate | up], the other order than GEGLU's. y (..., F), not aliasing; dx may be x.
void swiglu_forward(const Context& c, Tensor& y, const Tensor& x);
void swiglu_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x);

// The same forwards, y to the bit, and the middle S = y · downᵀ of the adapters that read y. On CUDA one
// kernel makes both, if there are more than 8 rows of fp16 or bf16, R is at most 64, F a multiple of 8 and
// all addresses but down's are multiples of 16 bytes; S is summed from y as it is stored. Otherwise this is
// the activation, then lowrank_middle.
void geglu_forward_with_middle(const Context& c, Tensor& y, const Tensor& x, MiddleOut middle);
void swiglu_forward_with_middle(const Context& c, Tensor& y, const Tensor& x, MiddleOut middle);
void swiglu_forward_with_middle(const Context& c, Tensor& y, const Tensor& gate, const Tensor& up,
                                MiddleOut middle);

}  // namespace rankine
