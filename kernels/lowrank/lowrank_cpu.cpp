#include <vector>

#include "kernels/lowrank/lowrank_impl.h"
#include "kernels/matmul/gemm.h"

namespace rankine::cpu {
namespace {

Left left_of(const Columns& m, std::int64_t rows) { return {Gather::plain(m.data, rows, m.cols, m.pitch)}; }

}  // namespace

void lowrank_linear_forward(ThreadPool& pool, const LowRankLinearArgs& a) {
  std::vector<Term> terms;
  if (a.base.w) {
    terms.push_back(
        {{Gather::plain(a.from, a.rows, a.in, a.in)}, Right::by_column(a.base.dtype, a.base.w, a.in), a.in});
  }
  for (const LowRankArgs& t : a.terms) {
    const std::int64_t rank = t.middle.cols;
    terms.push_back({left_of(t.middle, a.rows), Right::by_column(DType::f32, t.factor, rank, t.scale), rank});
  }
  if (terms.empty()) return;
  gemm_with_weight(pool, {a.rows, a.out, terms, {a.to, a.out}, a.base.bias, a.accumulate}, a.scratch);
}

void lowrank_linear_adjoint(ThreadPool& pool, const LowRankLinearArgs& a) {
  std::vector<Term> terms;
  if (a.base.w) {
    terms.push_back(
        {{Gather::plain(a.from, a.rows, a.out, a.out)}, Right::by_row(a.base.dtype, a.base.w, a.in), a.out});
  }
  for (const LowRankArgs& t : a.terms) {
    terms.push_back(
        {left_of(t.middle, a.rows), Right::by_row(DType::f32, t.factor, a.in, t.scale), t.middle.cols});
  }
  gemm(pool, {a.rows, a.in, terms, {a.to, a.in}, nullptr, a.accumulate}, a.scratch);
}

namespace {

void stripe(const UpGradArgs& a, std::int64_t index) {
  const UpGradPlan& plan = a.plan;
  const auto row = [&](std::int64_t i) {
    return std::min(plan.rows, plan.chunks() * i / plan.stripes() * UpGradPlan::kChunk);
  };
  const std::int64_t first_row = row(index), last_row = row(index + 1);
  float* partial = a.partial + index * plan.rank * plan.out;
  for (std::int64_t begin = first_row; begin < last_row; begin += UpGradPlan::kRows) {
    for (std::int64_t first = 0; first < plan.out; first += UpGradPlan::kColumns) {
      const UpGradPart part{begin, std::min(last_row, begin + UpGradPlan::kRows), first,
                            std::min(plan.out, first + UpGradPlan::kColumns), begin > first_row};
      up_backward_part(a, part, partial);
    }
  }
}

}  // namespace

void lowrank_up_backward(ThreadPool& pool, const UpGradArgs& a) {
  const UpGradPlan& plan = a.plan;
  if (plan.rows == 0) return;
  const std::int64_t stripes = plan.stripes();
  if (plan.two_products()) {
    const Term ds{{Gather::plain(a.dy, plan.rows, plan.out, plan.out)},
                  Right::by_row(DType::f32, a.up, plan.rank, a.scale),
                  plan.out};
    const Term dup{{Gather::plain(a.s.data, plan.rows, a.s.cols, a.s.pitch), true},
                   Right::by_row(DType::f32, a.dy, plan.out, a.scale),
                   plan.rows};
    gemm(pool, {plan.rows, plan.rank, {&ds, 1}, {a.ds, a.s.pitch}}, a.scratch);
    gemm(pool, {plan.rank, plan.out, {&dup, 1}, {a.partial, plan.out}}, a.scratch);
  } else {
    const double flops = 4.0 * static_cast<double>(plan.rows * plan.out) * static_cast<double>(plan.rank);
    const std::int64_t groups = std::min(stripes, useful_threads(flops, pool.size()));
    pool.parallel_for(groups, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = stripes * begin / groups; i < stripes * end / groups; ++i) stripe(a, i);
    });
  }
  pool.parallel_for(plan.out, 65536 / (stripes * plan.rank) + 1,
                    [&](std::int64_t begin, std::int64_t end) { up_backward_sums(a, begin, end); });
}

void lowrank_down_grad(ThreadPool& pool, const DownGradArgs& a) {
  const Term term{
      {Gather::plain(a.ds, a.rows, a.rank, a.rank), true}, Right::by_row(DType::f32, a.x, a.in), a.rows};
  gemm(pool, {a.rank, a.in, {&term, 1}, {a.ddown, a.in}, nullptr, true}, a.scratch);
}

}  // namespace rankine::cpu
