// Dense products with a weight that may be stored as fp32, fp16 or bf16. Activations and accumulation fp32
// (CPU). A half-stored weight is decoded by panels into the product; no full fp32 copy of it ever exists.
// "..." are any leading dimensions, the same on both sides. Outputs must not overlap inputs. The number of
// threads changes no bit. Scratch: half a MB per thread. All throw ShapeError, naming the operation, for a
// wrong shape or type.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// Forward: y (..., out) = x (..., in) · w (out, in)ᵀ + bias (out, optional).
void linear_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias);
// Adjoint: dx (..., in) = or += dy (..., out) · w (out, in).
void linear_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w, Write write);
// Weight gradient: dw (out, in) += dy (..., out)ᵀ · x (..., in). fp32.
void linear_weight_grad(const Context& c, Tensor& dw, const Tensor& dy, const Tensor& x);

// Batched y_b (M, N) = op(a_b) · op(b_b), fp32, leading dimension is the batch: small internal products.
enum class Transpose : std::uint8_t { no, yes };
void batched_matmul(const Context& c, Tensor& y, const Tensor& a, Transpose ta, const Tensor& b,
                    Transpose tb);

}  // namespace rankine
