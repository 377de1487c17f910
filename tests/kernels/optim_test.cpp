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

// The first step has the length of the learning rate, whatever the gradient's size: the bias correction at
// work.
TEST_P(Optim, FirstStepHasTheLengthOfTheLearningRate) {
  Tensor value = zeros(c, {3}), m = zeros(c, {3}), v = zeros(c, {3});
  const Tensor grad = tensor_of(c, {3}, {1e-3, -5, 200});
  Tensor state = make_step_state(c, {.lr = 1e-2F});
  const UpdateSpec spec{.eps = 1e-12F};
  grad_stats(c, state, grad, {}, spec);
  adamw_update(c, {value, m, v, grad}, state, UpdatePlan(c, 3, {{.first = 0, .count = 3}}), spec);
  EXPECT_TRUE(matches(value, {-1e-2, 1e-2, -1e-2}));
}

TEST_P(Optim, StepsFollowTheReference) {
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    SCOPED_TRACE(name_of(type));
    OptimRun run(c, type);
    run.run();
    run.expect_reference();
    run.expect_copies();
  }
}

TEST(OptimChecks, ThreadsDoNotChangeBits) {
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
  Tensor a = zeros(c, {4}), b = zeros(c, {5}), map = zeros(c, {2, 2}), state = make_step_state(c, {});
  const UpdatePlan plan(c, 4, {});
  expect_shape_error("adamw_update", [&] { adamw_update(c, {a, a, b, a}, state, plan, {}); });
  expect_shape_error("adamw_update", [&] { adamw_update(c, {a, a, a, b}, state, plan, {}); });
  expect_shape_error("adamw_update", [&] { adamw_update(c, {a, a, a, a, b}, state, plan, {}); });
  expect_shape_error("adamw_update", [&] { adamw_update(c, {a, a, a, a}, a, plan, {}); });
  expect_shape_error("grad_stats", [&] { grad_stats(c, state, map, {}, {}); });
  expect_shape_error("grad_stats", [&] { grad_stats(c, state, a, b, {}); });
  expect_shape_error("grad_stats", [&] { grad_stats(c, a, a, {}, {}); });
}

TEST(OptimChecks, PlanAccountsOnly) {
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
