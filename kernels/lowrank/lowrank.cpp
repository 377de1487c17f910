#include "kernels/lowrank/lowrank.h"

#include <vector>

#include "kernels/lowrank/lowrank_impl.h"
#include "kernels/matmul/matmul.h"
#include "kernels/matmul/operands.h"

namespace rankine {
namespace {

// Which dimension of a term's factor is the rank.
enum class Factor : std::uint8_t { up, down };

std::int64_t rank_of(const LowRankTerm& term, Factor kind) {
  return term.factor.dim(kind == Factor::up ? 1 : 0);
}

void check_term(std::string_view op, const LowRankTerm& term, Factor kind, std::int64_t rows,
                std::int64_t features) {
  const std::string_view name = kind == Factor::up ? "up factor" : "down factor";
  check_rank(op, name, term.factor, 2);
  const std::int64_t rank = rank_of(term, kind);
  check_float(op, name, term.factor, kind == Factor::up ? Shape{features, rank} : Shape{rank, features});
  check_rank(op, "middle", term.middle);
  check_dtype(op, "middle", term.middle, DType::f32);
  require<ShapeError>(term.middle.rows() == rows, op, ": expected a middle of ", rows, " rows, got ",
                      term.middle.shape());
  require<ShapeError>(term.first >= 0 && term.first + rank <= term.middle.cols(), op, ": columns [",
                      term.first, ",", term.first + rank, ") of a term are outside its middle ",
                      term.middle.shape());
}

Columns columns_of(const LowRankTerm& term, Factor kind) {
  const float* data = term.middle.data<float>();
  return {data ? data + term.first : nullptr, rank_of(term, kind), term.middle.cols()};
}

std::vector<LowRankArgs> args_of(std::span<const LowRankTerm> terms, Factor kind) {
  std::vector<LowRankArgs> args;
  for (const LowRankTerm& t : terms) args.push_back({columns_of(t, kind), t.factor.data<float>(), t.scale});
  return args;
}

// FLOPs and bytes of the terms alone.
Cost cost_of(std::span<const LowRankTerm> terms, Factor kind, double rows, double features) {
  Cost cost;
  for (const LowRankTerm& t : terms) {
    const auto rank = static_cast<double>(rank_of(t, kind));
    cost.flops += 2 * rows * rank * features;
    cost.bytes += 4 * rank * (rows + features);
  }
  return cost;
}

Cost operator+(const Cost& a, const Cost& b) { return {a.flops + b.flops, a.bytes + b.bytes}; }

double bytes_of(const Tensor& a, const Tensor& b, const Tensor& c) {
  return static_cast<double>(a.bytes()) + static_cast<double>(b.bytes()) + static_cast<double>(c.bytes());
}

}  // namespace

void lowrank_middle(const Context& c, Tensor& s, const Tensor& x, const Tensor& down) {
  constexpr std::string_view kName = "lowrank_middle";
  check_rank(kName, "x", x);
  check_rank(kName, "down", down, 2);
  check_float(kName, "x", x, x.shape());
  check_float(kName, "down", down, {down.dim(0), x.cols()});
  check_float(kName, "s", s, x.shape().with_dim(-1, down.dim(0)));
  Tensor scratch = gemm_workspace(c, kName);
  Op op(c, kName, product_cost(x.rows(), down.dim(0), x.cols(), bytes_of(s, x, down), false));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::lowrank_linear_forward(c.pool(), {s.data<float>(),
                                         x.data<float>(),
                                         x.rows(),
                                         x.cols(),
                                         down.dim(0),
                                         {down.data<float>()},
                                         {},
                                         false,
                                         scratch.data<float>()});
}

void lowrank_linear_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                            std::span<const LowRankTerm> terms) {
  if (terms.empty()) return linear_forward(c, y, x, w, bias);
  constexpr std::string_view kName = "lowrank_linear_forward";
  check_rank(kName, "x", x);
  check_rank(kName, "w", w, 2);
  check_weight(kName, "w", w, {w.dim(0), x.cols()});
  check_bias(kName, bias, w.dim(0));
  check_float(kName, "x", x, x.shape());
  check_float(kName, "y", y, x.shape().with_dim(-1, w.dim(0)));
  for (const LowRankTerm& t : terms) check_term(kName, t, Factor::up, x.rows(), w.dim(0));
  Tensor scratch = gemm_workspace(c, kName);
  Op op(c, kName,
        product_cost(x.rows(), w.dim(0), x.cols(), bytes_of(y, x, w), false) +
            cost_of(terms, Factor::up, x.rows(), w.dim(0)));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  const std::vector<LowRankArgs> args = args_of(terms, Factor::up);
  cpu::lowrank_linear_forward(c.pool(), {y.data<float>(),
                                         x.data<float>(),
                                         x.rows(),
                                         x.cols(),
                                         w.dim(0),
                                         {w.raw(), w.dtype(), bias_or_null(bias)},
                                         args,
                                         false,
                                         scratch.data<float>()});
}

void lowrank_linear_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w,
                            std::span<const LowRankTerm> terms, Write write) {
  if (terms.empty()) return linear_adjoint(c, dx, dy, w, write);
  constexpr std::string_view kName = "lowrank_linear_adjoint";
  check_rank(kName, "dy", dy);
  check_rank(kName, "w", w, 2);
  check_weight(kName, "w", w, {dy.cols(), w.dim(1)});
  check_float(kName, "dy", dy, dy.shape());
  check_float(kName, "dx", dx, dy.shape().with_dim(-1, w.dim(1)));
  for (const LowRankTerm& t : terms) check_term(kName, t, Factor::down, dy.rows(), w.dim(1));
  const bool accumulate = write == Write::accumulate;
  Tensor scratch = gemm_workspace(c, kName);
  Op op(c, kName,
        product_cost(dy.rows(), w.dim(1), dy.cols(), bytes_of(dx, dy, w), accumulate) +
            cost_of(terms, Factor::down, dy.rows(), w.dim(1)));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  const std::vector<LowRankArgs> args = args_of(terms, Factor::down);
  cpu::lowrank_linear_adjoint(c.pool(), {dx.data<float>(),
                                         dy.data<float>(),
                                         dy.rows(),
                                         w.dim(1),
                                         dy.cols(),
                                         {w.raw(), w.dtype()},
                                         args,
                                         accumulate,
                                         scratch.data<float>()});
}

void lowrank_up_add(const Context& c, Tensor& y, std::span<const LowRankTerm> terms) {
  constexpr std::string_view kName = "lowrank_up_add";
  check_rank(kName, "y", y);
  check_float(kName, "y", y, y.shape());
  for (const LowRankTerm& t : terms) check_term(kName, t, Factor::up, y.rows(), y.cols());
  Tensor scratch = gemm_workspace(c, kName);
  Op op(c, kName, Cost{0, 2.0 * y.bytes()} + cost_of(terms, Factor::up, y.rows(), y.cols()));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  const std::vector<LowRankArgs> args = args_of(terms, Factor::up);
  cpu::lowrank_linear_forward(
      c.pool(), {y.data<float>(), nullptr, y.rows(), 0, y.cols(), {}, args, true, scratch.data<float>()});
}

void lowrank_up_backward(const Context& c, UpGrad out, const Tensor& dy, const LowRankTerm& term) {
  constexpr std::string_view kName = "lowrank_up_backward";
  check_rank(kName, "dy", dy);
  check_float(kName, "dy", dy, dy.shape());
  check_term(kName, term, Factor::up, dy.rows(), dy.cols());
  check_float(kName, "ds", out.ds, term.middle.shape());
  check_float(kName, "dup", out.dup, term.factor.shape());
  const UpGradPlan plan{dy.rows(), dy.cols(), rank_of(term, Factor::up)};
  Tensor scratch = gemm_workspace(c, kName);
  Tensor partial = c.workspace({plan.stripes(), plan.rank, plan.out}, "lowrank_up_backward partial");
  const auto t = static_cast<double>(plan.rows), o = static_cast<double>(plan.out),
             r = static_cast<double>(plan.rank);
  Op op(c, kName, {4 * t * o * r, 4 * (t * o + 2 * t * r + 3 * o * r)});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::lowrank_up_backward(
      c.pool(),
      {out.ds.data<float>() + term.first, out.dup.data<float>(), dy.data<float>(), term.factor.data<float>(),
       columns_of(term, Factor::up), term.scale, plan, partial.data<float>(), scratch.data<float>()});
}

void lowrank_down_grad(const Context& c, Tensor& ddown, const Tensor& ds, const Tensor& x) {
  constexpr std::string_view kName = "lowrank_down_grad";
  check_rank(kName, "x", x);
  check_rank(kName, "ds", ds);
  check_float(kName, "x", x, x.shape());
  check_float(kName, "ds", ds, x.shape().with_dim(-1, ds.cols()));
  check_float(kName, "ddown", ddown, {ds.cols(), x.cols()});
  Tensor scratch = gemm_workspace(c, kName);
  Op op(c, kName, product_cost(ds.cols(), x.cols(), x.rows(), bytes_of(ddown, ds, x), true));
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::lowrank_down_grad(c.pool(), {ddown.data<float>(), ds.data<float>(), x.data<float>(), x.rows(),
                                    ds.cols(), x.cols(), scratch.data<float>()});
}

}  // namespace rankine
