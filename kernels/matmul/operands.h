// What the doors of all products share: checks of weights and biases, sizes as doubles for costs, scratch.
#pragma once

#include "kernels/common/checks.h"
#include "kernels/matmul/gemm.h"

namespace rankine {

// A weight of a linear map may be stored as f32, f16, bf16 or in quantised blocks along its rows (a tensor's
// rows hold whole blocks), ...
inline void check_weight(std::string_view op, std::string_view what, const Tensor& w, const Shape& expected) {
  check_shape(op, what, w, expected);
  require<ShapeError>(w.dtype() != DType::i32, op, ": expected ", what,
                      " of type f32, f16, bf16 or a block type, got ", name_of(w.dtype()));
}
// ... a filter as f32, f16 or bf16.
inline void check_filter(std::string_view op, std::string_view what, const Tensor& w, const Shape& expected) {
  check_shape(op, what, w, expected);
  require<ShapeError>(w.dtype() != DType::i32 && !is_block(w.dtype()), op, ": expected ", what,
                      " of type f32, f16 or bf16, got ", name_of(w.dtype()));
}

// No bias is an undefined tensor.
inline void check_bias(std::string_view op, const Tensor& bias, std::int64_t out) {
  if (bias.defined()) check_float(op, "bias", bias, {out});
}
inline const float* bias_or_null(const Tensor& bias) { return bias.defined() ? bias.data<float>() : nullptr; }

// The tensor is defined and has `rank` dimensions (0: at least one).
inline void check_rank(std::string_view op, std::string_view what, const Tensor& t, int rank = 0) {
  require<ShapeError>(t.defined(), op, ": ", what, " is undefined");
  require<ShapeError>(rank == 0 ? t.shape().rank() >= 1 : t.shape().rank() == rank, op, ": expected ", what,
                      " with ", rank == 0 ? "at least one" : std::to_string(rank),
                      rank == 1 ? " dimension" : " dimensions", ", got ", t.shape());
}

// The memory traffic that a product cannot avoid: each operand once, an accumulated output twice.
inline Cost product_cost(double m, double n, double k, double bytes, bool accumulate) {
  return {2 * m * n * k, bytes + (accumulate ? 4 * m * n : 0)};
}

// Scratch of one product for all threads.
inline Tensor gemm_workspace(const Context& c, std::string_view op) {
  return c.workspace({c.pool().size(), cpu::kGemmScratch}, std::string(op));
}

}  // namespace rankine
