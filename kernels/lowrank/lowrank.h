// LoRA as extra columns of the product (Hu et al. 2021; Hayou et al. 2024 for the scales).
//
// With S = x Aᵀ the adapted linear map is one product:  y = [x | S] · [W | s B]ᵀ, its adjoint is one product:
// dx = [dy | dS] · [W ; A], and one read of dy gives both dS and dB. Several adapters of one layer are
// several terms; linears that read the same x share one S, each looking at its own columns.
//   x (T, in)  A (r, in)  S (T, R)  B (out, r)  y, dy (T, out)  T = all leading dimensions
//
// The terms of a product are added while its block is in cache: no second pass over y or dx. Outputs must not
// overlap inputs. The number of threads changes no bit: sums over T are cut by sizes alone. All throw
// ShapeError, naming the operation, for a wrong shape or type, or for columns of a term outside its middle.
//
// CPU: all fp32. CUDA: x, y, middles and factors fp16 or bf16, one type; dA, dB fp32. A term is a segment of
// the product's sum, at no cost but its own products; its scale multiplies sums in fp32, so no operand is
// rounded for it. Terms whose rank, width of the middle or first column is no multiple of 8 are first copied,
// filled up with zeros, to scratch. Beyond three terms (four without a base) further ones are products of
// their own, and y is rounded in between. dB is the sum of fp32 partial sums per stripe of rows, dS per range
// of columns, added in order. Up to 8 rows with up to four terms, as generating text has them, read the
// weight and the factors once, as they are stored, and need no scratch (matmul.h).
//
// Dropouts are part of the products: their masks are made from Philox where they are used. On CUDA neither a
// dropped x nor a mask is ever in memory; the CPU drops into scratch of x's size.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// Inverted dropout of x (N, ...): element i of sample n becomes x / (1 - p) where u >= p, u of word i of
// `stream` with n added to its sample, else 0, as dropout() of kernels/random on every sample. p in [0, 1),
// 0: none. Its adjoint is itself.
struct SampleDropout {
  RandomStream stream;
  float p = 0;
};
// The dropouts of a middle S (N, ..., R): of every element, and of column j of all of a sample's rows by word
// j.
struct MiddleDropout {
  SampleDropout element, column;
};

// One low-rank term: columns [first, first + r) of a shared middle, where r = up.dim(1).
struct LowRankTerm {
  Tensor middle;               // S or dS: (T, R)
  std::int64_t first;          // first column of this term
  Tensor factor;               // forward: up B (out, r); adjoint: down A (r, in)
  float scale;                 // alpha / r or alpha / sqrt(r); 1 where the scale is already inside dS
  SampleDropout dropout = {};  // adjoint: of what the term adds to dx, the mask that forward's x had
};

// S (T, R) = drop(x) · downᵀ, down (R, in): all adapters that share x stacked by rows.
void lowrank_middle(const Context& c, Tensor& s, const Tensor& x, const Tensor& down,
                    const SampleDropout& dropout = {});
// S = drop(S) in place, and dS likewise: one rounding for both dropouts.
void lowrank_drop_middle(const Context& c, Tensor& s, const MiddleDropout& dropout);

// y = x · wᵀ + bias + sum_i scale_i S_i · B_iᵀ. An empty list is linear_forward. w as in matmul.h.
void lowrank_linear_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                            std::span<const LowRankTerm> terms);
// dx = (or +=) dy · w + sum_i drop_i(scale_i dS_i · A_i). An empty list is linear_adjoint. Dropped terms are
// added after the others, each by a product of its own; on CUDA dx is rounded in between.
void lowrank_linear_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w,
                            std::span<const LowRankTerm> terms, Write write);
// y += sum_i scale_i S_i · B_iᵀ alone: the up-projection of a convolution's adapter.
void lowrank_up_add(const Context& c, Tensor& y, std::span<const LowRankTerm> terms);

// One pass over dy (T, out), on CUDA up to rank 64:  dS[:, first:first+r] = scale dy · B ;  dB (out, r) +=
// scale dyᵀ · S[:, first:first+r]. `s` is the masked middle that forward used.
struct UpGrad {
  Tensor& ds;   // (T, R): its columns of this term are overwritten
  Tensor& dup;  // (out, r) +=
};
void lowrank_up_backward(const Context& c, UpGrad out, const Tensor& dy, const LowRankTerm& term);
// dA (R, in) += dSᵀ · drop(x).
void lowrank_down_grad(const Context& c, Tensor& ddown, const Tensor& ds, const Tensor& x,
                       const SampleDropout& dropout = {});

}  // namespace rankine
