#include "kernels/matmul/gemm.h"
#include "kernels/matmul/matmul_impl.h"

namespace rankine::cpu {

void linear_forward(ThreadPool& pool, const LinearArgs& a) {
  const LinearMap& map = a.map;
  const Term term{
      {Gather::plain(a.from, a.rows, map.in, map.in)}, Right::by_column(map.dtype, map.w, map.in), map.in};
  gemm_with_weight(pool, {a.rows, map.out, {&term, 1}, {a.to, map.out}, map.bias, a.accumulate}, a.scratch);
}

void linear_adjoint(ThreadPool& pool, const LinearArgs& a) {
  const LinearMap& map = a.map;
  const Term term{
      {Gather::plain(a.from, a.rows, map.out, map.out)}, Right::by_row(map.dtype, map.w, map.in), map.out};
  gemm(pool, {a.rows, map.in, {&term, 1}, {a.to, map.in}, nullptr, a.accumulate}, a.scratch);
}

void linear_weight_grad(ThreadPool& pool, const LinearGradArgs& a) {
  const Term term{
      {Gather::plain(a.dy, a.rows, a.out, a.out), true}, Right::by_row(DType::f32, a.x, a.in), a.rows};
  gemm(pool, {a.out, a.in, {&term, 1}, {a.dw, a.in}, nullptr, true}, a.scratch);
}

namespace {

Term batch_term(const BatchedArgs& g, std::int64_t i) {
  const float* a = g.a + i * g.m * g.k;
  const float* b = g.b + i * g.n * g.k;
  const Left left = g.ta == Transpose::no ? Left{Gather::plain(a, g.m, g.k, g.k)}
                                          : Left{Gather::plain(a, g.k, g.m, g.m), true};
  return {left,
          g.tb == Transpose::no ? Right::by_row(DType::f32, b, g.n) : Right::by_column(DType::f32, b, g.k),
          g.k};
}

}  // namespace

void batched_matmul(ThreadPool& pool, const BatchedArgs& g) {
  const auto product = [&](const Term& term, std::int64_t i) {
    return Gemm{g.m, g.n, {&term, 1}, {g.y + i * g.m * g.n, g.n}};
  };
  if (g.batch < pool.size()) {
    for (std::int64_t i = 0; i < g.batch; ++i) {
      const Term term = batch_term(g, i);
      gemm(pool, product(term, i), g.scratch);
    }
    return;
  }
  // One group of neighbours per thread; small ones stay on one thread.
  const auto flops = static_cast<double>(g.batch) * 2.0 * static_cast<double>(g.m * g.n * g.k);
  const std::int64_t groups = useful_threads(flops, pool.size());
  pool.parallel_for(groups, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = g.batch * begin / groups; i < g.batch * end / groups; ++i) {
      const Term term = batch_term(g, i);
      gemm_inline(product(term, i), g.scratch + begin * gemm_scratch(g.m));
    }
  });
}

}  // namespace rankine::cpu
