// Shared by the tests of the pointwise kernel families: tensors from numbers, gradients by differences, the
// same test on every instruction set, and the checks that every operation owes (errors, plan, thread count).
#pragma once

#include <hwy/targets.h>

#include <cstring>
#include <functional>

#include "tests/support/compare.h"

namespace rankine::testing_support {

using Doubles = std::vector<double>;

// A CPU with its context. Three threads, whatever the machine has: more than one range per call.
struct Cpu {
  explicit Cpu(int threads = 3) : runtime(Device::cpu(), Memory::kUnlimited, threads), c(runtime) {}
  Runtime runtime;
  Context c;
};

inline Tensor tensor_of(const Context& c, Shape shape, const Doubles& values) {
  Tensor t = c.empty(shape, "test");
  for (std::size_t i = 0; i < values.size(); ++i) t.data<float>()[i] = static_cast<float>(values[i]);
  return t;
}
inline Tensor zeros(const Context& c, Shape shape) { return tensor_of(c, shape, Doubles(shape.numel())); }
inline Tensor clone(const Context& c, const Tensor& t) { return tensor_of(c, t.shape(), to_double(t)); }

inline ::testing::AssertionResult matches(const Tensor& got, const Doubles& want,
                                          Tolerance tol = kernel_tolerance(DType::f32)) {
  return all_close(got.span<float>(), std::span<const double>(want), tol);
}
inline ::testing::AssertionResult close(const Doubles& got, const Doubles& want, Tolerance tol) {
  return all_close(std::span<const double>(got), std::span<const double>(want), tol);
}
inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.bytes() == b.bytes() && std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
}
inline double dot(const Doubles& a, const Doubles& b) {
  double s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

// d sum(weight * f(x)) / dx by central differences.
inline Doubles differences(const std::function<Doubles(const Doubles&)>& f, Doubles x,
                           const Doubles& weight) {
  constexpr double kStep = 1e-5;
  Doubles grad(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double at = x[i];
    x[i] = at + kStep;
    const double upper = dot(f(x), weight);
    x[i] = at - kStep;
    const double lower = dot(f(x), weight);
    x[i] = at;
    grad[i] = (upper - lower) / (2 * kStep);
  }
  return grad;
}

// Runs `make` with 1, 2 and 3 threads: the tensor it returns must have the same bits.
inline void expect_same_bits_for_threads(const std::function<Tensor(const Context&)>& make) {
  Cpu one(1);
  const Tensor want = make(one.c);
  for (const int threads : {2, 3}) {
    Cpu many(threads);
    EXPECT_TRUE(same_bits(make(many.c), want)) << threads << " threads";
  }
}

// `call` must throw ShapeError with a message that begins with the operation's name.
inline void expect_shape_error(std::string_view op, const std::function<void()>& call) {
  try {
    call();
    ADD_FAILURE() << op << " accepted wrong tensors";
  } catch (const ShapeError& e) {
    EXPECT_EQ(std::string_view(e.what()).substr(0, op.size()), op) << e.what();
  }
}

// On a plan device `call` must account exactly one call of `op` with its cost, run nothing, and leave no
// memory behind.
inline void expect_planned(std::string_view op, const std::function<void(const Context&)>& call) {
  Runtime plan(Device::cpu().planned());
  call(Context(plan));
  const auto line = plan.cost().lines().find(op);
  ASSERT_NE(line, plan.cost().lines().end()) << op << " is not accounted";
  EXPECT_EQ(line->second.calls, 1U) << op;
  EXPECT_GT(line->second.cost.bytes, 0) << op;
  EXPECT_EQ(line->second.seconds, 0) << op;
  EXPECT_EQ(plan.cost().lines().size(), 1U) << op;
  EXPECT_EQ(plan.memory().held(), 0U) << op;
}

// A test that runs once per instruction set of this machine: TEST_P(Family, Name) plus an
// INSTANTIATE_TEST_SUITE_P line per family.
class EachTarget : public ::testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { hwy::GetChosenTarget().Update(GetParam()); }
  void TearDown() override { hwy::GetChosenTarget().DeInit(); }
  Cpu cpu;
  const Context& c = cpu.c;
};
inline std::vector<std::int64_t> targets() {
  std::vector<std::int64_t> list{HWY_SCALAR};
  for (const std::int64_t t : {HWY_AVX2, HWY_AVX3}) {
    if (hwy::SupportedTargets() & t) list.push_back(t);
  }
  return list;
}
inline std::string target_name(const ::testing::TestParamInfo<std::int64_t>& info) {
  return hwy::TargetName(info.param);
}

// Lengths around the vector widths, and one that several threads share.
inline constexpr std::int64_t kLengths[] = {1, 3, 7, 8, 15, 16, 17, 31, 33, 257, 50001};

}  // namespace rankine::testing_support
