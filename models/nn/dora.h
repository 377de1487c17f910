// The row norms that DoRA (Liu et al. 2024) divides an adapted weight by:
//
//   n_i = ||w_i + s b_i A||,   n_i² = ||w_i||² + 2 s (A w_i)·b_i + s² b_iᵀ (A Aᵀ) b_i
//
// so neither W + s B A nor a decoded copy of W exists: A Wᵀ is a product with the frozen weight in whatever
// type it is stored, and ||w_i|| is taken once, row by row.
//
// W never changes, A and B only between optimizer steps: the norms are kept as long as the bits of A, B and s
// are the same (compared by a 64-bit hash). So micro-batches, recomputation, validation with averaged
// parameters and a reloaded adapter all see the norms of what they compute with. A plan device, which has no
// bits, counts the norms once per Context::step, as a run does. On CUDA nobody looks at bits: the norms are
// part of every forward pass, and of a recording of it; ||w_i|| is taken on the host before training.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/core/context.h"

namespace rankine {

class DoraNorm {
 public:
  struct Delta {
    Tensor down;  // A (r, in), as products read it
    Tensor up;    // B (out, r)
    float scale;  // s
  };
  // 1 / n (out), fp32; 0 for a row of norm 0, which so stays zero. The tensor is never written again.
  Tensor inverse(const Context& c, const Tensor& w, const Delta& d);
  // ||w_i|| (out), fp32: what magnitudes start from.
  Tensor base(const Context& c, const Tensor& w);

 private:
  Tensor computed_inverse(const Context& c, const Tensor& w, const Delta& d);

  Tensor base_, inverse_;
  std::optional<std::uint64_t> key_;  // of what inverse_ belongs to
};

}  // namespace rankine
