// What the doors of all products share: checks of weights and biases, sizes as doubles for costs, scratch.
#pragma once

#include "kernels/common/checks.h"
#include "kernels/decode_ahead/decode_ahead.h"
#include "kernels/matmul/gemm.h"
#include "kernels/matmul/gemm_plan.h"
#include "kernels/matmul/matmul_impl.h"

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
// On CUDA it may also be of the activations' type.
inline void check_bias(const Context& c, std::string_view op, const Tensor& bias, std::int64_t out,
                       DType type) {
  if (!bias.defined() || !c.device().is_cuda() || bias.dtype() != type) return check_bias(op, bias, out);
  check_shape(op, "bias", bias, {out});
}
inline const float* bias_or_null(const Tensor& bias) { return bias.defined() ? bias.data<float>() : nullptr; }

// The tensor is defined and has `rank` dimensions (0: at least one).
inline void check_rank(std::string_view op, std::string_view what, const Tensor& t, int rank = 0) {
  require<ShapeError>(t.defined(), op, ": ", what, " is undefined");
  require<ShapeError>(rank == 0 ? t.shape().rank() >= 1 : t.shape().rank() == rank, op, ": expected ", what,
                      " with ", rank == 0 ? "at least one" : std::to_string(rank),
                      rank == 1 ? " dimension" : " dimensions", ", got ", t.shape());
}

// An operand of a product: fp32 on the CPU, fp16 or bf16 on CUDA. Returns the type, which all activations of
// the product share, ...
inline DType check_operand(const Context& c, std::string_view op, std::string_view what, const Tensor& t,
                           const Shape& expected) {
  const DType type = check_activation(c, op, what, t, expected);
  require<ShapeError>(!c.device().is_cuda() || type != DType::f32, op, ": expected ", what,
                      " of type f16 or bf16 on CUDA, got f32");
  return type;
}

// The memory traffic that a product cannot avoid: each operand once, an accumulated output twice.
inline Cost product_cost(double m, double n, double k, double bytes, bool accumulate) {
  return {2 * m * n * k, bytes + (accumulate ? 4 * m * n : 0)};
}

// Scratch of one product with m rows for all threads of a CPU.
inline Tensor gemm_workspace(const Context& c, std::string_view op, std::int64_t m) {
  return c.workspace({c.pool().size(), cpu::gemm_scratch(m)}, std::string(op));
}

inline bool decodes_ahead(const Context& c, const Tensor& w, DType type) {
  return c.decode_ahead && c.decode_ahead->takes(c, w, type);
}

// Scratch of one product: on a CPU that of all threads. On CUDA the partial sums where K is split, and a
// weight that is stored in another type than `type`, that of the activations, decoded to it.
struct ProductScratch {
  Tensor floats, weight;
  float* partial() { return floats.defined() ? floats.data<float>() : nullptr; }
  void* decoded() { return weight.defined() ? weight.raw() : nullptr; }
};
inline ProductScratch product_scratch(const Context& c, std::string_view op, const GemmSizes& s) {
  if (!c.device().is_cuda()) return {gemm_workspace(c, op, s.m), {}};
  const std::int64_t floats = gemm_partial_floats(s);
  return {floats > 0 ? c.workspace({floats}, join(op, " partial sums")) : Tensor(), {}};
}
inline ProductScratch product_scratch(const Context& c, std::string_view op, const GemmSizes& s,
                                      const Tensor& w, DType type) {
  ProductScratch scratch = product_scratch(c, op, s);
  if (c.device().is_cuda() && w.dtype() != type && !decodes_ahead(c, w, type))
    scratch.weight = c.workspace(w.shape(), join(op, " decoded weight"), type);
  return scratch;
}

// On CUDA: f(StoredWeight) launches a product with w, read where it lies, out of c.decode_ahead, or decoded
// to the product's own scratch.
template <class F>
void with_weight(const Context& c, const Tensor& w, DType type, ProductScratch& scratch, const F& f) {
  if (!decodes_ahead(c, w, type))
    return f(cuda::StoredWeight{w.raw(), w.dtype(), type, scratch.decoded(), w.dim(1), w.dim(0)});
  with_decoded_ahead(c, w, [&](const void* numbers) {
    f(cuda::StoredWeight{numbers, type, type, nullptr, w.dim(1), w.dim(0)});
  });
}

}  // namespace rankine
