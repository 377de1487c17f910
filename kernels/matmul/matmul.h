// Dense products with a weight w that may be stored as fp32, fp16, bf16 or in the blocks of any quantised
// type (engine/core/block_formats.h). "..." are any leading dimensions, the same on both sides. Outputs must
// not overlap inputs. All throw ShapeError, naming the operation, for a wrong shape or type.
//
// CPU: activations and sums fp32. A stored weight is decoded by panels into the product; no full fp32 copy of
// it ever exists. Scratch: half a MB per thread. The product with a stored weight has the bits of the product
// with the same weight decoded to fp32 (decode_blocks), and the number of threads changes none. Forward of at
// most 8 rows streams w once, packs nothing and sums over `in` in another order than forward of more rows;
// within either path a row of y depends on its row of x alone. So decoding token by token and one pass over
// all tokens differ in last bits.
//
// CUDA: activations fp16 or bf16, the same for all of one product; sums fp32; y and dx are rounded once; dw
// is fp32; a bias may be fp32 or of the activations' type. Tensor cores read operands where they lie, if
// their rows are whole 16 bytes (multiples of 8 elements); others are correct and slow. A weight of another
// type than the activations' is decoded to that type in scratch of its size first; forward of at most 8 rows
// decodes it in registers instead, reading it once and needing no scratch. Where the context has
// one, kernels/decode_ahead/decode_ahead.h decodes weights in blocks beside the product before. Where y has
// too few tiles to fill a card, the sum over K is split in parts that follow from the sizes alone, fp32
// partial sums in scratch, added in order: the same bits every time, and the same order on every card but for
// sm_90, where cuBLASLt may compute the product (kernels/matmul/gemm_table.h).
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// Forward: y (..., out) = x (..., in) · w (out, in)ᵀ + bias (out, optional).
void linear_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias);
// Adjoint: dx (..., in) = or += dy (..., out) · w (out, in).
void linear_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w, Write write);
// Weight gradient: dw (out, in) += dy (..., out)ᵀ · x (..., in). fp32.
void linear_weight_grad(const Context& c, Tensor& dw, const Tensor& dy, const Tensor& x);

// Batched y_b (M, N) = op(a_b) · op(b_b), all activations, leading dimension is the batch: small internal
// products.
enum class Transpose : std::uint8_t { no, yes };
void batched_matmul(const Context& c, Tensor& y, const Tensor& a, Transpose ta, const Tensor& b,
                    Transpose tb);

// For people: the version of the cuBLASLt that products on CUDA may use, or why none is used.
std::string cublaslt_state();

}  // namespace rankine
