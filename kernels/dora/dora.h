// What DoRA (Liu et al. 2024) adds to a low-rank product y = m/n ⊙ (W x + s B A x): the norms n of the rows
// of W + s B A, which never exists, and the gradient of m. Sums run in an order that follows from the shapes
// alone. All throw ShapeError.
//
// CPU: all fp32. CUDA: factors, cross, up_gram, y and dy fp16 or bf16, one type (or fp32), the rest fp32.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

struct DoraNormTerms {
  const Tensor& base;     // ||w_i|| (out) fp32
  const Tensor& cross;    // A Wᵀ (r, out)
  const Tensor& up;       // B (out, r)
  const Tensor& up_gram;  // B (A Aᵀ) (out, r)
  float scale;            // s
};
// inverse (out) fp32 = 1 / n_i with n_i² = ||w_i||² + 2 s (A w_i)·b_i + s² b_iᵀ (A Aᵀ) b_i; 0 where that is
// not above 0, which rounding can make of a row that the adapter cancels.
void dora_inverse_norms(const Context& c, Tensor& inverse, const DoraNormTerms& t);

// dm (out) fp32 += inverse ⊙ sum over rows of dy ⊙ y: y (T, out) = W x + s B A x, dy of what m/n made of it.
void dora_magnitude_grad(const Context& c, Tensor& dm, const Tensor& dy, const Tensor& y,
                         const Tensor& inverse);

}  // namespace rankine
