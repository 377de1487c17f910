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

// Rows [begin, end) of dS, from columns [first, last) of dy and rows of B: dS = or += scale dy · B.
struct Part {
  std::int64_t begin, end, first, last;
};
Term ds_term(const UpGradArgs& a, const Part& p) {
  const std::int64_t n = p.last - p.first;
  return {{Gather::plain(a.dy + p.begin * a.plan.out + p.first, p.end - p.begin, n, a.plan.out)},
          Right::by_row(DType::f32, a.up + p.first * a.plan.rank, a.plan.rank, a.scale),
          n};
}
// scale dBᵀ (rank, columns [first, last)) from the same part of dy.
Term dup_term(const UpGradArgs& a, const Part& p) {
  const std::int64_t n = p.end - p.begin;
  return {{Gather::plain(a.s.data + p.begin * a.s.pitch, n, a.s.cols, a.s.pitch), true},
          Right::by_row(DType::f32, a.dy + p.begin * a.plan.out + p.first, a.plan.out, a.scale),
          n};
}

// While a part of dy (164 KB) is in cache both products use it.
void stripe(const UpGradArgs& a, std::int64_t index, float* scratch) {
  const UpGradPlan& plan = a.plan;
  const std::int64_t chunks = plan.chunks(), stripes = plan.stripes();
  float* partial = a.partial + index * plan.rank * plan.out;
  const std::int64_t first_chunk = chunks * index / stripes, last_chunk = chunks * (index + 1) / stripes;
  for (std::int64_t chunk = first_chunk; chunk < last_chunk; ++chunk) {
    Part p{chunk * UpGradPlan::kChunk, std::min(plan.rows, (chunk + 1) * UpGradPlan::kChunk), 0, 0};
    for (p.first = 0; p.first < plan.out; p.first = p.last) {
      p.last = std::min(plan.out, p.first + kBlockN);
      const Term ds = ds_term(a, p), dup = dup_term(a, p);
      gemm_inline({p.end - p.begin,
                   plan.rank,
                   {&ds, 1},
                   {a.ds + p.begin * a.s.pitch, a.s.pitch},
                   nullptr,
                   p.first > 0},
                  scratch);
      gemm_inline({plan.rank,
                   p.last - p.first,
                   {&dup, 1},
                   {partial + p.first, plan.out},
                   nullptr,
                   chunk > first_chunk},
                  scratch);
    }
  }
}

// dup (out, rank) += the sum of the partial transposes, in the order of the stripes.
void add_partials(ThreadPool& pool, const UpGradArgs& a) {
  const std::int64_t rank = a.plan.rank, out = a.plan.out, stripes = a.plan.stripes();
  pool.parallel_for(out, 65536 / (stripes * rank) + 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t o = begin; o < end; ++o) {
      for (std::int64_t r = 0; r < rank; ++r) {
        float sum = 0;
        for (std::int64_t p = 0; p < stripes; ++p) sum += a.partial[(p * rank + r) * out + o];
        a.dup[o * rank + r] += sum;
      }
    }
  });
}

}  // namespace

void lowrank_up_backward(ThreadPool& pool, const UpGradArgs& a) {
  const UpGradPlan& plan = a.plan;
  if (plan.rows == 0) return;
  const std::int64_t stripes = plan.stripes();
  if (stripes == 1 && plan.chunks() > 1) {
    const Part all{0, plan.rows, 0, plan.out};
    const Term ds = ds_term(a, all), dup = dup_term(a, all);
    gemm(pool, {plan.rows, plan.rank, {&ds, 1}, {a.ds, a.s.pitch}}, a.scratch);
    gemm(pool, {plan.rank, plan.out, {&dup, 1}, {a.partial, plan.out}}, a.scratch);
  } else {
    const double flops = 4.0 * static_cast<double>(plan.rows * plan.out) * static_cast<double>(plan.rank);
    const std::int64_t groups = std::min(stripes, useful_threads(flops, pool.size()));
    pool.parallel_for(groups, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = stripes * begin / groups; i < stripes * end / groups; ++i)
        stripe(a, i, a.scratch + begin * gemm_scratch(std::max(plan.rows, plan.rank)));
    });
  }
  add_partials(pool, a);
}

void lowrank_down_grad(ThreadPool& pool, const DownGradArgs& a) {
  const Term term{
      {Gather::plain(a.ds, a.rows, a.rank, a.rank), true}, Right::by_row(DType::f32, a.x, a.in), a.rows};
  gemm(pool, {a.rank, a.in, {&term, 1}, {a.ddown, a.in}, nullptr, true}, a.scratch);
}

}  // namespace rankine::cpu
