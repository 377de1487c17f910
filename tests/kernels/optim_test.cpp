#include "kernels/optim/optim.h"

#include "tests/kernels/optim_support.h"

namespace rankine {
namespace {

using namespace testing_support;

class Optim : public EachTarget {};
INSTANTIATE_TEST_SUITE_P(Targets, Optim, ::testing::ValuesIn(targets()), target_name);

struct Moments {
  Tensor value, m, v;
};
Moments start(const Context& c, std::int64_t n) {
  return {random_tensor(c, {n}, 1), zeros(c, {n}), zeros(c, {n})};
}

// Twenty steps beside the reference in double, with clipping, decay and a gradient that changes.
TEST_P(Optim, AdamWFollowsTheReference) {
  for (const std::int64_t n : {1, 7, 33, 257, 20001}) {
    SCOPED_TRACE(n);
    Moments s = start(c, n);
    std::vector<ref::AdamWParameter<double>> want(n);
    for (std::int64_t i = 0; i < n; ++i) want[i] = {s.value.data<float>()[i], 0, 0};
    AdamWSpec spec{1e-2F, 0.9F, 0.999F, 1e-8F, 0.01F, 0.5F, 0};
    for (spec.t = 1; spec.t <= 20; ++spec.t) {
      const Tensor grad = random_tensor(c, {n}, 100 + std::uint32_t(spec.t));
      adamw_step(c, {s.value, s.m, s.v}, grad, spec);
      for (std::int64_t i = 0; i < n; ++i)
        want[i] = ref::adamw_step(want[i], double(grad.data<float>()[i]), spec);
    }
    Doubles value, m, v;
    for (const auto& p : want) value.push_back(p.value), m.push_back(p.m), v.push_back(p.v);
    EXPECT_TRUE(matches(s.value, value));
    EXPECT_TRUE(matches(s.m, m));
    EXPECT_TRUE(matches(s.v, v));
  }
}

// The first step has the length of the learning rate, whatever the gradient's size: the bias correction at
// work.
TEST_P(Optim, FirstStepHasTheLengthOfTheLearningRate) {
  Tensor value = zeros(c, {3}), m = zeros(c, {3}), v = zeros(c, {3});
  adamw_step(c, {value, m, v}, tensor_of(c, {3}, {1e-3, -5, 200}), {1e-2F, 0.9F, 0.999F, 1e-12F, 0, 1, 1});
  EXPECT_TRUE(matches(value, {-1e-2, 1e-2, -1e-2}));
}

TEST(OptimChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    Moments s = start(c, 100003);
    adamw_step(c, {s.value, s.m, s.v}, random_tensor(c, {100003}, 2), {});
    return s.value;
  });
}

TEST_P(Optim, StepsWithoutTheHostFollowTheReference) {
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    SCOPED_TRACE(name_of(type));
    OptimRun run(c, type);
    run.run();
    run.expect_reference();
    run.expect_copies();
  }
}

// The trainer's step and the one that needs no host: the same inputs, the same bits.
TEST_P(Optim, TheUpdateHasTheBitsOfTheStep) {
  constexpr std::int64_t kNumel = 1031;
  Moments a = start(c, kNumel), b = start(c, kNumel);
  Tensor state = make_step_state(c, {.lr = 1e-2F, .grad_scale = 0.25F});
  const UpdatePlan plan(c, kNumel, {{.first = 0, .count = kNumel, .weight_decay = 0.1F}});
  AdamWSpec spec{1e-2F, 0.9F, 0.999F, 1e-8F, 0.1F, 0.25F, 0};
  for (spec.t = 1; spec.t <= 3; ++spec.t) {
    const Tensor grad = random_tensor(c, {kNumel}, 100 + std::uint32_t(spec.t));
    adamw_step(c, {a.value, a.m, a.v}, grad, spec);
    grad_stats(c, state, grad, {}, {});
    adamw_update(c, {b.value, b.m, b.v, grad}, state, plan, {});
  }
  EXPECT_TRUE(same_bits(a.value, b.value) && same_bits(a.m, b.m) && same_bits(a.v, b.v));
}

TEST(OptimChecks, ThreadsDoNotChangeBitsOfTheUpdate) {
  expect_same_bits_for_threads([](const Context& c) {
    Moments s = start(c, 300007);
    Tensor state = make_step_state(c, {.lr = 1e-2F, .max_norm = 1.0F}), ema = clone(c, s.value);
    const Tensor grad = random_tensor(c, {300007}, 2);
    grad_stats(c, state, grad, {}, {.ema_decay = 0.5F});
    adamw_update(c, {s.value, s.m, s.v, grad, ema}, state,
                 UpdatePlan(c, 300007, {{.first = 1, .count = 300000}}), {});
    return ema;
  });
}

TEST(OptimChecks, PlansThatDoNotFitAreRefused) {
  Cpu cpu;
  const Context& c = cpu.c;
  const auto plan = [&](std::vector<UpdateSegment> segments) {
    expect_shape_error("UpdatePlan", [&] { UpdatePlan(c, 24, std::move(segments)); });
  };
  plan({{.first = 0, .count = 25}});
  plan({{.first = -1, .count = 4}});
  plan({{.first = 4, .count = -1}});
  plan({{.first = 0, .count = 8}, {.first = 7, .count = 4}});
  plan({{.first = INT64_MAX, .count = 1}});
  const auto copied = [&](Shape shape, DType type, std::int64_t cols, std::int64_t first_column) {
    plan({{.first = 0, .count = 24, .copies = {{{c.empty(shape, "to", type), 1.0F, cols, first_column}}}}});
  };
  copied({23}, DType::f16, 0, 0);
  copied({24}, DType::i32, 0, 0);
  copied({4, 8}, DType::f16, 6, 3);
  copied({4, 8}, DType::f16, 6, -1);
  copied({3, 8}, DType::f16, 6, 0);
  copied({4, 8}, DType::f16, 7, 0);
  copied({4, 8}, DType::f16, 6, INT64_MAX);
}

TEST(OptimChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor a = zeros(c, {4}), b = zeros(c, {5}), map = zeros(c, {2, 2});
  expect_shape_error("adamw_step", [&] { adamw_step(c, {a, a, b}, a, {}); });
  expect_shape_error("adamw_step", [&] { adamw_step(c, {a, a, a}, b, {}); });
  expect_shape_error("adamw_step", [&] { adamw_step(c, {map, map, map}, map, {}); });
  AdamWSpec before_first;
  before_first.t = 0;
  expect_shape_error("adamw_step", [&] { adamw_step(c, {a, a, a}, a, before_first); });
}

TEST(OptimChecks, PlanAccountsOnly) {
  expect_planned("adamw_step", [](const Context& c) {
    Tensor a = c.empty({4}, "a");
    adamw_step(c, {a, a, a}, a, {});
  });
  expect_planned("grad_stats", [](const Context& c) {
    Tensor state = c.empty({kStepNumbers}, "state");
    grad_stats(c, state, c.empty({4}, "grad"), {}, {});
  });
  expect_planned("adamw_update", [](const Context& c) {
    Tensor a = c.empty({4}, "a"), state = make_step_state(c, {});
    const UpdatePlan plan(c, 4, {{.first = 0, .count = 4, .copies = {{{c.empty({4}, "copy", DType::f16)}}}}});
    adamw_update(c, {a, a, a, a}, state, plan, {});
  });
}

}  // namespace
}  // namespace rankine
