#include "kernels/lowrank/lowrank.h"

#include <algorithm>
#include <vector>

#include "kernels/elementwise/elementwise.h"
#include "kernels/lowrank/lowrank_dropout.h"
#include "kernels/matmul/few_rows_cuda.h"
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
  check_shape(op, name, term.factor, kind == Factor::up ? Shape{features, rank} : Shape{rank, features});
  check_rank(op, "middle", term.middle);
  require<ShapeError>(term.middle.rows() == rows, op, ": expected a middle of ", rows, " rows, got ",
                      term.middle.shape());
  require<ShapeError>(term.first >= 0 && term.first + rank <= term.middle.cols(), op, ": columns [",
                      term.first, ",", term.first + rank, ") of a term are outside its middle ",
                      term.middle.shape());
}
void check_terms(std::string_view op, std::span<const LowRankTerm> terms, Factor kind, const Tensor& features,
                 DType type) {
  for (const LowRankTerm& t : terms) {
    check_term(op, t, kind, features.rows(), features.cols());
    check_dtype(op, "middle", t.middle, type);
    check_dtype(op, kind == Factor::up ? "up factor" : "down factor", t.factor, type);
    check_dropout(op, features, t.dropout);
    require<ShapeError>(kind == Factor::down || t.dropout.p == 0, op,
                        ": only a term of the adjoint is dropped");
  }
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

// The same for CUDA.
const void* first_column(const LowRankTerm& t) {
  return static_cast<const std::byte*>(t.middle.raw()) + bytes_of(t.middle.dtype(), t.first);
}
bool must_pack(const LowRankTerm& t, Factor kind) {
  return rank_of(t, kind) % 8 != 0 || t.first % 8 != 0 || t.middle.cols() % 8 != 0;
}
std::vector<cuda::LowRankArgs> cuda_args_of(std::span<const LowRankTerm> terms, Factor kind) {
  std::vector<cuda::LowRankArgs> args;
  for (const LowRankTerm& t : terms)
    args.push_back(
        {first_column(t), t.middle.cols(), t.factor.raw(), rank_of(t, kind), t.scale, must_pack(t, kind)});
  return args;
}
cuda::GemmBias cuda_bias(const Tensor& bias) {
  return bias.defined() ? cuda::GemmBias{bias.raw(), bias.dtype()} : cuda::GemmBias{};
}

// Scratch of a product with terms; `w` is undefined where there is no base.
struct LowRankScratch {
  ProductScratch product;
  Tensor packed_terms;
  void* packed() { return packed_terms.defined() ? packed_terms.raw() : nullptr; }
};
LowRankScratch lowrank_scratch(const Context& c, std::string_view op, const Tensor& features, const Tensor& w,
                               std::span<const LowRankTerm> terms, Factor kind) {
  if (!c.device().is_cuda()) return {{gemm_workspace(c, op, features.rows()), {}}, {}};
  const std::int64_t rows = features.rows(), cols = features.cols();
  std::int64_t packed = 0, depth = 0;
  for (const LowRankTerm& t : terms) {
    if (must_pack(t, kind)) packed += cuda::whole_chunks(rank_of(t, kind)) * (rows + cols);
  }
  for (const LowRankTerm& t : terms.first(std::min(terms.size(), cuda::terms_beside(w.defined()))))
    depth += gemm_depth(rank_of(t, kind));
  const DType type = features.dtype();
  LowRankScratch scratch;
  if (w.defined()) {
    depth += gemm_depth(kind == Factor::up ? w.dim(1) : w.dim(0));
    scratch.product = product_scratch(c, op, {rows, cols, depth}, w, type);
  } else {
    scratch.product = product_scratch(c, op, {rows, cols, depth});
  }
  if (packed > 0) scratch.packed_terms = c.workspace({packed}, join(op, " packed terms"), type);
  return scratch;
}
// Products that generating text is made of: few rows, no scratch.
bool takes_few_rows(const Context& c, const Tensor& x, std::size_t terms) {
  return c.device().is_cuda() && x.rows() >= 1 && x.rows() <= cuda::kFewRows && terms <= cuda::kFewTerms;
}
cuda::FewRowsArgs few_rows_args(Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                                std::span<const LowRankTerm> terms) {
  const cuda::GemmBias b = cuda_bias(bias);
  cuda::FewRowsArgs a{y.raw(), x.raw(), x.dtype(), w.raw(),  w.dtype(),
                      b.data,  b.type,  x.rows(),  x.cols(), w.dim(0)};
  for (const LowRankTerm& t : terms)
    a.terms[a.term_count++] = {first_column(t), t.middle.cols(), t.factor.raw(), rank_of(t, Factor::up),
                               t.scale};
  return a;
}
// FLOPs and bytes of the terms alone.
Cost cost_of(std::span<const LowRankTerm> terms, Factor kind, double rows, double features) {
  Cost cost;
  for (const LowRankTerm& t : terms) {
    const auto rank = static_cast<double>(rank_of(t, kind));
    cost.flops += 2 * rows * rank * features;
    cost.bytes += static_cast<double>(size_of(t.factor.dtype())) * rank * (rows + features);
  }
  return cost;
}

Cost operator+(const Cost& a, const Cost& b) { return {a.flops + b.flops, a.bytes + b.bytes}; }

double bytes_of(const Tensor& a, const Tensor& b, const Tensor& c) {
  return static_cast<double>(a.bytes()) + static_cast<double>(b.bytes()) + static_cast<double>(c.bytes());
}

}  // namespace

void lowrank_middle(const Context& c, Tensor& s, const Tensor& x, const Tensor& down,
                    const SampleDropout& dropout) {
  constexpr std::string_view kName = "lowrank_middle";
  check_rank(kName, "x", x);
  check_rank(kName, "down", down, 2);
  const DType type = check_operand(c, kName, "x", x, x.shape());
  check_of_type(kName, "down", down, {down.dim(0), x.cols()}, type);
  check_of_type(kName, "s", s, x.shape().with_dim(-1, down.dim(0)), type);
  check_dropout(kName, x, dropout);
  const Tensor from = c.device().is_cuda() ? x : dropped_copy(c, kName, x, dropout);
  const bool few = dropout.p == 0 && takes_few_rows(c, x, 0);
  ProductScratch scratch =
      few ? ProductScratch{} : product_scratch(c, kName, {x.rows(), down.dim(0), gemm_depth(x.cols())});
  Op op(c, kName, product_cost(x.rows(), down.dim(0), x.cols(), bytes_of(s, x, down), false));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (few) return cuda::few_rows_forward(c.cuda_stream(), few_rows_args(s, x, down, {}, {}));
    if (c.device().is_cuda()) {
      const cuda::StoredWeight map{down.raw(), type, type, nullptr, down.dim(1), down.dim(0)};
      return cuda::lowrank_middle(c.cuda_stream(),
                                  {s.raw(), x.raw(), map, {}, x.rows(), false, scratch.partial()},
                                  drop_args(x, dropout));
    }
  }
  cpu::lowrank_linear_forward(c.pool(), {s.data<float>(),
                                         from.data<float>(),
                                         x.rows(),
                                         x.cols(),
                                         down.dim(0),
                                         {down.data<float>()},
                                         {},
                                         false,
                                         scratch.floats.data<float>()});
}

void lowrank_linear_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& w, const Tensor& bias,
                            std::span<const LowRankTerm> terms) {
  if (terms.empty()) return linear_forward(c, y, x, w, bias);
  constexpr std::string_view kName = "lowrank_linear_forward";
  check_rank(kName, "x", x);
  check_rank(kName, "w", w, 2);
  check_weight(kName, "w", w, {w.dim(0), x.cols()});
  const DType type = check_operand(c, kName, "x", x, x.shape());
  check_bias(c, kName, bias, w.dim(0), type);
  check_of_type(kName, "y", y, x.shape().with_dim(-1, w.dim(0)), type);
  check_terms(kName, terms, Factor::up, y, type);
  const bool few = takes_few_rows(c, x, terms.size());
  LowRankScratch scratch = few ? LowRankScratch{} : lowrank_scratch(c, kName, y, w, terms, Factor::up);
  Op op(c, kName,
        product_cost(x.rows(), w.dim(0), x.cols(), bytes_of(y, x, w), false) +
            cost_of(terms, Factor::up, x.rows(), w.dim(0)));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (few) return cuda::few_rows_forward(c.cuda_stream(), few_rows_args(y, x, w, bias, terms));
    if (c.device().is_cuda()) {
      return with_weight(c, w, type, scratch.product, [&](const cuda::StoredWeight& map) {
        cuda::lowrank_linear_forward(c.cuda_stream(), {y.raw(), x.raw(), x.rows(), map, cuda_bias(bias),
                                                       cuda_args_of(terms, Factor::up), false,
                                                       scratch.packed(), scratch.product.partial()});
      });
    }
  }
  const std::vector<LowRankArgs> args = args_of(terms, Factor::up);
  cpu::lowrank_linear_forward(c.pool(), {y.data<float>(),
                                         x.data<float>(),
                                         x.rows(),
                                         x.cols(),
                                         w.dim(0),
                                         {w.raw(), w.dtype(), bias_or_null(bias)},
                                         args,
                                         false,
                                         scratch.product.floats.data<float>()});
}

namespace {

// dx += drop(scale dS · A), on the CPU by way of scratch.
void add_dropped_on_cpu(const Context& c, std::string_view name, Tensor& dx, const LowRankTerm& term) {
  Tensor own = c.workspace(dx.shape(), join(name, " dropped term"));
  {
    Tensor scratch = gemm_workspace(c, name, dx.rows());
    Op op(c, name, cost_of({&term, 1}, Factor::down, double(dx.rows()), double(dx.cols())));
    if (!op.planned()) {
      const std::vector<LowRankArgs> args = args_of({&term, 1}, Factor::down);
      cpu::lowrank_linear_adjoint(
          c.pool(),
          {own.data<float>(), nullptr, dx.rows(), dx.cols(), 0, {}, args, false, scratch.data<float>()});
    }
  }
  drop_samples(c, own, own, term.dropout);
  add(c, dx, dx, own);
}

void add_dropped_term(const Context& c, std::string_view name, Tensor& dx, const LowRankTerm& term) {
  if (!c.device().is_cuda()) return add_dropped_on_cpu(c, name, dx, term);
  LowRankScratch scratch = lowrank_scratch(c, name, dx, {}, {&term, 1}, Factor::down);
  Op op(c, name,
        Cost{0, 2.0 * double(dx.bytes())} +
            cost_of({&term, 1}, Factor::down, double(dx.rows()), double(dx.cols())));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    const cuda::StoredWeight none{nullptr, dx.dtype(), dx.dtype(), nullptr, dx.cols(), 0};
    cuda::lowrank_dropped_adjoint(c.cuda_stream(),
                                  {dx.raw(),
                                   nullptr,
                                   dx.rows(),
                                   none,
                                   {},
                                   cuda_args_of({&term, 1}, Factor::down),
                                   true,
                                   scratch.packed(),
                                   nullptr},
                                  drop_args(dx, term.dropout));
  }
}

// Plain terms of a product first, dropped ones after it. False: there are none of those.
bool adjoint_of_dropped(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w,
                        std::span<const LowRankTerm> terms, Write write) {
  constexpr std::string_view kName = "lowrank_linear_adjoint";
  if (std::none_of(terms.begin(), terms.end(), [](const LowRankTerm& t) { return t.dropout.p != 0; }))
    return false;
  std::vector<LowRankTerm> plain, dropped;
  for (const LowRankTerm& t : terms) (t.dropout.p == 0 ? plain : dropped).push_back(t);
  check_rank(kName, "dx", dx);
  check_terms(kName, dropped, Factor::down, dx, check_operand(c, kName, "dx", dx, dx.shape()));
  lowrank_linear_adjoint(c, dx, dy, w, plain, write);
  for (const LowRankTerm& t : dropped) add_dropped_term(c, kName, dx, t);
  return true;
}

}  // namespace

void lowrank_linear_adjoint(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& w,
                            std::span<const LowRankTerm> terms, Write write) {
  if (terms.empty()) return linear_adjoint(c, dx, dy, w, write);
  if (adjoint_of_dropped(c, dx, dy, w, terms, write)) return;
  constexpr std::string_view kName = "lowrank_linear_adjoint";
  check_rank(kName, "dy", dy);
  check_rank(kName, "w", w, 2);
  check_weight(kName, "w", w, {dy.cols(), w.dim(1)});
  const DType type = check_operand(c, kName, "dy", dy, dy.shape());
  check_of_type(kName, "dx", dx, dy.shape().with_dim(-1, w.dim(1)), type);
  check_terms(kName, terms, Factor::down, dx, type);
  const bool accumulate = write == Write::accumulate;
  LowRankScratch scratch = lowrank_scratch(c, kName, dx, w, terms, Factor::down);
  Op op(c, kName,
        product_cost(dy.rows(), w.dim(1), dy.cols(), bytes_of(dx, dy, w), accumulate) +
            cost_of(terms, Factor::down, dy.rows(), w.dim(1)));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return with_weight(c, w, type, scratch.product, [&](const cuda::StoredWeight& map) {
        cuda::lowrank_linear_adjoint(c.cuda_stream(), {dx.raw(),
                                                       dy.raw(),
                                                       dy.rows(),
                                                       map,
                                                       {},
                                                       cuda_args_of(terms, Factor::down),
                                                       accumulate,
                                                       scratch.packed(),
                                                       scratch.product.partial()});
      });
    }
  }
  const std::vector<LowRankArgs> args = args_of(terms, Factor::down);
  cpu::lowrank_linear_adjoint(c.pool(), {dx.data<float>(),
                                         dy.data<float>(),
                                         dy.rows(),
                                         w.dim(1),
                                         dy.cols(),
                                         {w.raw(), w.dtype()},
                                         args,
                                         accumulate,
                                         scratch.product.floats.data<float>()});
}

void lowrank_up_add(const Context& c, Tensor& y, std::span<const LowRankTerm> terms) {
  constexpr std::string_view kName = "lowrank_up_add";
  check_rank(kName, "y", y);
  const DType type = check_operand(c, kName, "y", y, y.shape());
  check_terms(kName, terms, Factor::up, y, type);
  LowRankScratch scratch = lowrank_scratch(c, kName, y, {}, terms, Factor::up);
  Op op(c, kName, Cost{0, 2.0 * y.bytes()} + cost_of(terms, Factor::up, y.rows(), y.cols()));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      const cuda::StoredWeight none{nullptr, type, type, nullptr, 0, y.cols()};
      return cuda::lowrank_linear_forward(c.cuda_stream(), {y.raw(),
                                                            nullptr,
                                                            y.rows(),
                                                            none,
                                                            {},
                                                            cuda_args_of(terms, Factor::up),
                                                            true,
                                                            scratch.packed(),
                                                            scratch.product.partial()});
    }
  }
  const std::vector<LowRankArgs> args = args_of(terms, Factor::up);
  cpu::lowrank_linear_forward(c.pool(), {y.data<float>(),
                                         nullptr,
                                         y.rows(),
                                         0,
                                         y.cols(),
                                         {},
                                         args,
                                         true,
                                         scratch.product.floats.data<float>()});
}

namespace {

// Scratch of lowrank_up_backward: partial sums, and on a CPU that of the products.
struct UpGradScratch {
  Tensor products, partial;
};
UpGradScratch up_grad_scratch(const Context& c, std::string_view op, const UpGradPlan& plan) {
  const std::string name = join(op, " partial");
  if (!c.device().is_cuda()) {
    UpGradScratch scratch;
    if (plan.two_products()) scratch.products = gemm_workspace(c, op, std::max(plan.rows, plan.rank));
    scratch.partial = c.workspace({plan.stripes(), plan.rank, plan.out}, name);
    return scratch;
  }
  const cuda::UpGradPlan device{plan.rows, plan.out, plan.rank};
  return {{}, device.one_pass() ? c.workspace({device.floats()}, name) : Tensor()};
}

}  // namespace

void lowrank_up_backward(const Context& c, UpGrad out, const Tensor& dy, const LowRankTerm& term) {
  constexpr std::string_view kName = "lowrank_up_backward";
  check_rank(kName, "dy", dy);
  const DType type = check_operand(c, kName, "dy", dy, dy.shape());
  check_terms(kName, {&term, 1}, Factor::up, dy, type);
  check_of_type(kName, "ds", out.ds, term.middle.shape(), type);
  check_float(kName, "dup", out.dup, term.factor.shape());
  const UpGradPlan plan{dy.rows(), dy.cols(), rank_of(term, Factor::up)};
  UpGradScratch scratch = up_grad_scratch(c, kName, plan);
  const auto t = static_cast<double>(plan.rows), o = static_cast<double>(plan.out),
             r = static_cast<double>(plan.rank), size = static_cast<double>(size_of(type));
  Op op(c, kName, {4 * t * o * r, size * (t * o + 2 * t * r + o * r) + 8 * o * r});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::lowrank_up_backward(c.cuda_stream(),
                                       {static_cast<std::byte*>(out.ds.raw()) + bytes_of(type, term.first),
                                        out.dup.data<float>(),
                                        dy.raw(),
                                        term.factor.raw(),
                                        first_column(term),
                                        type,
                                        term.middle.cols(),
                                        term.scale,
                                        {plan.rows, plan.out, plan.rank},
                                        scratch.partial.defined() ? scratch.partial.data<float>() : nullptr});
    }
  }
  cpu::lowrank_up_backward(
      c.pool(),
      {out.ds.data<float>() + term.first, out.dup.data<float>(), dy.data<float>(), term.factor.data<float>(),
       columns_of(term, Factor::up), term.scale, plan, scratch.partial.data<float>(),
       scratch.products.defined() ? scratch.products.data<float>() : nullptr});
}

void lowrank_down_grad(const Context& c, Tensor& ddown, const Tensor& ds, const Tensor& x,
                       const SampleDropout& dropout) {
  constexpr std::string_view kName = "lowrank_down_grad";
  check_rank(kName, "x", x);
  check_rank(kName, "ds", ds);
  const DType type = check_operand(c, kName, "x", x, x.shape());
  check_of_type(kName, "ds", ds, x.shape().with_dim(-1, ds.cols()), type);
  check_float(kName, "ddown", ddown, {ds.cols(), x.cols()});
  check_dropout(kName, x, dropout);
  const Tensor from = c.device().is_cuda() ? x : dropped_copy(c, kName, x, dropout);
  ProductScratch scratch = product_scratch(c, kName, {ds.cols(), x.cols(), gemm_depth(x.rows())});
  const bool pack = c.device().is_cuda() && ds.cols() % 8 != 0;
  Tensor packed =
      pack ? c.workspace({x.rows(), cuda::whole_chunks(ds.cols())}, join(kName, " packed ds"), type)
           : Tensor();
  Op op(c, kName, product_cost(ds.cols(), x.cols(), x.rows(), bytes_of(ddown, ds, x), true));
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::lowrank_down_grad(
          c.cuda_stream(), {ddown.data<float>(), ds.raw(), x.raw(), type, x.rows(), ds.cols(), x.cols(),
                            pack ? packed.raw() : nullptr, scratch.partial(), drop_args(x, dropout)});
    }
  }
  cpu::lowrank_down_grad(c.pool(), {ddown.data<float>(), ds.data<float>(), from.data<float>(), x.rows(),
                                    ds.cols(), x.cols(), scratch.floats.data<float>()});
}

}  // namespace rankine
