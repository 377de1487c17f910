#include "kernels/optim/optim.h"

#include "kernels/optim/optim_ref.h"
#include "tests/kernels/pointwise_support.h"

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
}

}  // namespace
}  // namespace rankine
