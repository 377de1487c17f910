// Dense products with a weight w that may be stored as fp32, fp16, bf16 or in the blocks of any quantised
// type (engine/core/block_formats.h). Activations and accumulation fp32 (CPU). A stored weight is decoded by
// panels into the product; no full fp32 copy of it ever exists. "..." are any leading dimensions, the same on
// both sides. Outputs must not overlap inputs. Scratch: half a MB per thread. All throw ShapeError, naming
// the operation, for a wrong shape or type.
//
// Bits: the product with a stored weight has the bits of the product with the same weight decoded to fp32
// (decode_blocks), and the number of threads changes none. Forward of at most 8 rows streams w once, packs
// nothing and sums over `in` in another order than forward of more rows; within either path a row of y
// depends on its row of x alone. So decoding token by token and one pass over all tokens differ in last bits.
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
