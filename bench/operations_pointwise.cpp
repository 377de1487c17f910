// Numbers one by one, maps, reductions, random numbers, and the optimizer's pass.
#include "bench/operations.h"
#include "kernels/activation/activation.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/matmul.h"
#include "kernels/optim/optim.h"
#include "kernels/random/random.h"
#include "kernels/reduce/reduce.h"
#include "kernels/resample/resample.h"

namespace rankine::bench {
namespace {

constexpr RandomStream kStream{1, purpose("bench"), 0, 0};

// What pointwise calls have in common: y and two inputs of its shape.
struct Points {
  Context c;
  Tensor y, a, b;
};
MakeCall points(void (*call)(Points& p)) {
  return [call](Operands& o, const Sizes& n) -> Call {
    const Shape shape{n[0], n[1]};
    return [call, p = Points{o.context(), o.activations(shape), o.activations(shape),
                             o.activations(shape)}]() mutable { call(p); };
  };
}
Call column_sums(Operands& o, const Sizes& n) {
  const Tensor dy = o.activations({n[0], n[1]});
  Tensor db = o.floats({n[1]});
  return [c = o.context(), db, dy]() mutable { add_column_sums(c, db, dy); };
}

Call total(Operands& o, const Sizes& n) {  // of a loss per sample
  const Tensor x = o.floats({n[0]});
  Tensor sum = o.floats({1});
  return [c = o.context(), sum, x]() mutable { add_sum(c, sum, x); };
}

// A map, one vector per sample, a table of the map of one sample, and the map twice as wide.
struct Maps {
  Context c;
  Tensor map, other, vector, table, wide, square;
};
MakeCall maps(void (*call)(Maps& m)) {
  return [call](Operands& o, const Sizes& n) -> Call {
    const Shape shape{n[0], n[1] * n[1], n[2]};
    return
        [call, m = Maps{o.context(), o.activations(shape), o.activations(shape), o.activations({n[0], n[2]}),
                        o.floats({n[1] * n[1], n[2]}), o.activations(shape.with_dim(-1, 2 * n[2])),
                        o.activations({n[0], n[2], n[2]})}]() mutable { call(m); };
  };
}

Call upsample(Operands& o, const Sizes& n) {
  const Tensor x = o.activations({n[0], n[1], n[1], n[2]});
  Tensor y = o.activations({n[0], 2 * n[1], 2 * n[1], n[2]});
  return [c = o.context(), y, x]() mutable { upsample_nearest_forward(c, y, x); };
}
Call upsample_back(Operands& o, const Sizes& n) {
  Tensor dx = o.activations({n[0], n[1], n[1], n[2]});
  const Tensor dy = o.activations({n[0], 2 * n[1], 2 * n[1], n[2]});
  return [c = o.context(), dx, dy]() mutable { upsample_nearest_adjoint(c, dx, dy); };
}
Call mix(Operands& o, const Sizes& n) {
  const Shape latent{n[0], n[1], n[1], n[2]};
  const Tensor x = o.activations(latent), z = o.activations(latent), a = o.floats({n[0]}),
               b = o.floats({n[0]});
  Tensor y = o.activations(latent);
  return [c = o.context(), y, x, z, a, b]() mutable { mix_per_sample(c, y, a, x, b, z); };
}

// The arena of a run: values, moments, gradient, and the rounded copy that products read.
struct Arena {
  Context c;
  Tensor value, m, v, grad, state, working;
};
Arena arena_of(Operands& o, const Sizes& n) {
  return {o.context(),          o.floats({n[0]}),
          o.floats({n[0]}),     o.floats({n[0]}),
          o.floats({n[0]}),     make_step_state(o.context(), {.lr = 1e-4F, .grad_scale = 1}),
          o.activations({n[0]})};
}
MakeCall arena(void (*call)(Arena& a)) {
  return [call](Operands& o, const Sizes& n) -> Call {
    return [call, a = arena_of(o, n)]() mutable { call(a); };
  };
}
Call update(Operands& o, const Sizes& n) {
  Arena a = arena_of(o, n);
  grad_stats(a.c, a.state, a.grad, {}, {});
  UpdateSegment all{.first = 0, .count = n[0]};
  all.copies[0].to = a.working;
  return [a, plan = UpdatePlan(a.c, n[0], {all})]() mutable {
    adamw_update(a.c, {a.value, a.m, a.v, a.grad}, a.state, plan, {});
  };
}

}  // namespace

std::span<const Operation> flat_operations() {
  static const Operation table[] = {
      {"silu_forward", Family::pointwise, 2, points([](Points& p) { silu_forward(p.c, p.y, p.a); })},
      {"silu_backward", Family::pointwise, 2, points([](Points& p) { silu_backward(p.c, p.y, p.a, p.b); })},
      {"gelu_forward", Family::pointwise, 2,
       points([](Points& p) { gelu_forward(p.c, p.y, p.a, Gelu::erf); })},
      {"gelu_backward", Family::pointwise, 2,
       points([](Points& p) { gelu_backward(p.c, p.y, p.a, p.b, Gelu::erf); })},
      {"fill", Family::pointwise, 2, points([](Points& p) { fill(p.c, p.y, 1); })},
      {"copy", Family::pointwise, 2, points([](Points& p) { copy(p.c, p.y, p.a); })},
      {"scale", Family::pointwise, 2, points([](Points& p) { scale(p.c, p.y, p.a, 0.5F); })},
      {"add", Family::pointwise, 2, points([](Points& p) { add(p.c, p.y, p.a, p.b); })},
      {"add_scaled", Family::pointwise, 2, points([](Points& p) { add_scaled(p.c, p.y, p.a, 1e-3F); })},
      {"multiply", Family::pointwise, 2, points([](Points& p) { multiply(p.c, p.y, p.a, p.b); })},
      {"lerp", Family::pointwise, 2, points([](Points& p) { lerp(p.c, p.y, p.a, 0.1F); })},
      {"fill_uniform", Family::pointwise, 2,
       points([](Points& p) { fill_uniform(p.c, p.y, kStream, -1, 1); })},
      {"fill_normal", Family::pointwise, 2, points([](Points& p) { fill_normal(p.c, p.y, kStream); })},
      {"dropout", Family::pointwise, 2, points([](Points& p) { dropout(p.c, p.y, p.a, kStream, 0.1F); })},
      {"add_column_sums", Family::pointwise, 2, column_sums},
      {"add_sum", Family::timesteps, 1, total},
      {"sum", Family::parameters, 1, arena([](Arena& a) { sum(a.c, a.grad); })},
      {"sum_of_squares", Family::parameters, 1, arena([](Arena& a) { sum_of_squares(a.c, a.grad); })},
      {"grad_stats", Family::parameters, 1,
       arena([](Arena& a) { grad_stats(a.c, a.state, a.grad, {}, {}); })},
      {"adamw_update", Family::parameters, 1, update},
  };
  return table;
}

std::span<const Operation> map_operations() {
  static const Operation table[] = {
      {"add_per_sample", Family::map, 3, maps([](Maps& m) { add_per_sample(m.c, m.map, m.vector); })},
      {"multiply_per_sample", Family::map, 3,
       maps([](Maps& m) { multiply_per_sample(m.c, m.map, m.vector); })},
      {"sum_per_sample", Family::map, 3, maps([](Maps& m) { sum_per_sample(m.c, m.vector, m.map); })},
      {"add_to_each_sample", Family::map, 3, maps([](Maps& m) { add_to_each_sample(m.c, m.map, m.table); })},
      {"sum_over_samples", Family::map, 3, maps([](Maps& m) { sum_over_samples(m.c, m.table, m.map); })},
      {"concat_channels", Family::map, 3,
       maps([](Maps& m) { concat_channels(m.c, m.wide, m.map, m.other); })},
      {"split_channels", Family::map, 3, maps([](Maps& m) { split_channels(m.c, m.map, m.other, m.wide); })},
      {"batched_matmul", Family::map, 3,
       maps([](Maps& m) { batched_matmul(m.c, m.other, m.map, Transpose::no, m.square, Transpose::no); })},
      {"upsample_nearest_forward", Family::resize, 3, upsample},
      {"upsample_nearest_adjoint", Family::resize, 3, upsample_back},
      {"mix_per_sample", Family::latent, 3, mix},
  };
  return table;
}

}  // namespace rankine::bench
