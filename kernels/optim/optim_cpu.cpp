#include "kernels/common/row_chunks.h"
#include "kernels/optim/optim_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/optim/optim_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

void adamw_range(const AdamWArgs& a, const AdamWFactors& f, std::int64_t begin, std::int64_t end) {
  const VecF beta1 = set(f.beta1), rest1 = set(f.one_minus_beta1), beta2 = set(f.beta2),
             rest2 = set(f.one_minus_beta2);
  const VecF decay = set(f.decay), step = set(f.step), root_bias = set(f.root_bias), eps = set(f.eps);
  const VecF grad_scale = set(f.grad_scale);
  float *value = a.value + begin, *m = a.m + begin, *v = a.v + begin;
  const float* grad = a.grad + begin;
  for_vectors(end - begin, [&](auto io, std::int64_t i) HWY_ATTR {
    const VecF g = hn::Mul(io.get(grad + i), grad_scale);
    const VecF new_m = hn::MulAdd(beta1, io.get(m + i), hn::Mul(rest1, g));
    const VecF new_v = hn::MulAdd(beta2, io.get(v + i), hn::Mul(rest2, hn::Mul(g, g)));
    const VecF change = hn::Div(hn::Mul(step, new_m), hn::MulAdd(hn::Sqrt(new_v), root_bias, eps));
    io.put(new_m, m + i);
    io.put(new_v, v + i);
    io.put(hn::MulSub(io.get(value + i), decay, change), value + i);
  });
}

}  // namespace
}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(adamw_range);

void adamw_run(ThreadPool& pool, const AdamWArgs& a, const AdamWFactors& f) {
  pool.parallel_for(a.n, kGrain / 2, [&](std::int64_t begin, std::int64_t end) {
    HWY_DYNAMIC_DISPATCH(adamw_range)(a, f, begin, end);
  });
}

}  // namespace rankine::cpu
#endif
