// optim.h on CUDA: see optim_test.cpp and optim_support.h for the same on the CPU.
#include "tests/kernels/gpu_support.h"
#include "tests/kernels/optim_support.h"

namespace rankine {
namespace {
using namespace testing_support;

// The parameter's type is that of the copies.
class OptimCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, OptimCuda, gpu_types(), gpu_case_name);

TEST_P(OptimCuda, StepsFollowTheReference) {
  OptimRun run(c(), type()), again(c(), type());
  run.run();
  run.expect_reference();
  run.expect_copies();
  again.run();
  EXPECT_EQ(run.all_bytes(), again.all_bytes());
}

// From the first step on a bad gradient touches nothing, copies included.
TEST_P(OptimCuda, ABadStepTouchesNothing) {
  OptimRun run(c(), type());
  const auto before = run.all_bytes();
  Doubles grad = OptimRun::numbers(3, 1);
  grad[4095] = -INFINITY;
  run.step(1, grad, 1.0);
  auto after = run.all_bytes();
  after[4] = before[4];  // the state counts it
  EXPECT_EQ(after, before);
  const StepState s = read_step_state(c(), run.state);
  EXPECT_EQ(s.found_inf, 1);
  EXPECT_EQ(s.updates, 0);
  EXPECT_EQ(s.skipped, 1);
  EXPECT_EQ(s.loss, 1);
}

// Lengths around a group of eight and beyond what the blocks of threads take at once; a view that no 16-byte
// load can read.
TEST_P(OptimCuda, NormOfAnyLength) {
  for (const std::int64_t n : {1, 7, 8, 2049, 40003}) {
    SCOPED_TRACE(n);
    const Tensor all = random({n + 1}, 1, 1.0F, DType::f32);
    for (const std::int64_t first : {0, 1}) {
      const Tensor grad = all.flat(first, {n});
      Tensor state = make_step_state(c(), {.grad_scale = 0.5F, .max_norm = 1e-3F});
      grad_stats(c(), state, grad, {}, {});
      const StepState s = read_step_state(c(), state);
      const Doubles values = from_device(grad);
      const double norm = 0.5 * std::sqrt(dot(values, values));
      EXPECT_NEAR(s.norm, norm, 1e-5 * norm);
      EXPECT_NEAR(s.factor, 0.5 * std::min(1.0, 1e-3 / (norm + 1e-6)), 1e-6);
      EXPECT_EQ(s.found_inf, 0);
    }
  }
}

TEST_P(OptimCuda, NothingToTrainIsNoError) {
  const Tensor grad = c().empty({0}, "grad");
  Tensor state = make_step_state(c(), {}), empty = c().empty({0}, "empty");
  grad_stats(c(), state, grad, {}, {});
  EXPECT_EQ(read_step_state(c(), state).norm, 0);
  adamw_update(c(), {empty, empty, empty, grad}, state, UpdatePlan(c(), 0, {}), {});
}

TEST_P(OptimCuda, WrongTensorsAreNamed) {
  Tensor a = random({4}, 1, 1.0F, DType::f32), b = random({5}, 1, 1.0F, DType::f32), half = random({4}, 1);
  Tensor state = make_step_state(c(), {});
  const UpdatePlan plan(c(), 4, {{.first = 0, .count = 4}});
  expect_shape_error("grad_stats", [&] { grad_stats(c(), a, a, {}, {}); });
  expect_shape_error("grad_stats", [&] { grad_stats(c(), state, half, {}, {}); });
  expect_shape_error("adamw_update", [&] { adamw_update(c(), {a, a, b, a}, state, plan, {}); });
  expect_shape_error("adamw_update", [&] { adamw_update(c(), {a, half, a, a}, state, plan, {}); });
}

}  // namespace
}  // namespace rankine
