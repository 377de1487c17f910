// What the tests of matmul, lowrank and conv share.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "kernels/common/checks.h"
#include "tests/support/compare.h"

namespace rankine::testing_support {

// A CPU with its own memory and threads.
struct Machine {
  explicit Machine(int threads = 2, Device device = Device::cpu())
      : runtime(device, Memory::kUnlimited, threads), c(runtime) {}
  Runtime runtime;
  Context c;

  Tensor random(Shape shape, std::uint32_t id) const { return random_tensor(c, shape, id); }
  Tensor zeros(Shape shape) const {
    Tensor t = c.empty(shape, "zeros");
    for (float& x : t.span<float>()) x = 0;
    return t;
  }
  // Contents that an overwriting kernel must not use.
  Tensor garbage(Shape shape) const {
    Tensor t = c.empty(shape, "garbage");
    for (float& x : t.span<float>()) x = std::numeric_limits<float>::quiet_NaN();
    return t;
  }
};

// Decoding is exact, so a half-stored weight is compared at the fp32 tolerance with what it decodes to.
inline std::vector<double> decoded(const Tensor& w) {
  std::vector<double> d(static_cast<std::size_t>(w.numel()));
  for (std::int64_t i = 0; i < w.numel(); ++i) {
    if (w.dtype() == DType::f32)
      d[i] = w.data<float>()[i];
    else if (w.dtype() == DType::f16)
      d[i] = to_float(w.data<Half>()[i]);
    else
      d[i] = to_float(w.data<BFloat16>()[i]);
  }
  return d;
}

inline ::testing::AssertionResult matches(const Tensor& got, const std::vector<double>& want) {
  return all_close(got.span<float>(), std::span<const double>(want), kernel_tolerance(DType::f32));
}

inline ::testing::AssertionResult same_bits(const Tensor& a, const Tensor& b) {
  if (a.bytes() != b.bytes()) return ::testing::AssertionFailure() << "sizes differ";
  if (std::memcmp(a.raw(), b.raw(), a.bytes()) == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "bits differ";
}

// |<a, b> - <c, d>| against the fp32 tolerance of the sum of magnitudes.
inline ::testing::AssertionResult same_inner_product(const Tensor& a, const Tensor& b, const Tensor& c,
                                                     const Tensor& d) {
  double left = 0, right = 0, size = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    const double p = double{a.data<float>()[i]} * b.data<float>()[i];
    left += p;
    size += std::abs(p);
  }
  for (std::int64_t i = 0; i < c.numel(); ++i) right += double{c.data<float>()[i]} * d.data<float>()[i];
  if (std::abs(left - right) <= kernel_tolerance(DType::f32).rel * size) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << left << " and " << right << " differ by more than rounding";
}

// d f / d v by central differences in double; f maps a vector to one number.
template <class F>
std::vector<double> central_differences(std::vector<double> v, const F& f) {
  std::vector<double> d(v.size());
  constexpr double kStep = 1e-4;
  for (std::size_t i = 0; i < v.size(); ++i) {
    const double x = v[i];
    v[i] = x + kStep;
    const double up = f(v);
    v[i] = x - kStep;
    d[i] = (up - f(v)) / (2 * kStep);
    v[i] = x;
  }
  return d;
}

inline double inner(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// Runs f and expects a ShapeError whose message starts with the operation's name.
template <class F>
void expect_shape_error(const std::string& op, const F& f) {
  try {
    f();
    ADD_FAILURE() << op << " accepted a wrong argument";
  } catch (const ShapeError& e) {
    EXPECT_EQ(std::string(e.what()).rfind(op, 0), 0U) << e.what();
  }
}

// Runs `step(machine)` on a real and on a plan device with the same threads: the plan has to account the same
// cost and the same peak, and must not touch the real one's seconds. Returns the plan's cost.
template <class F>
Cost planned_like_real(const F& step) {
  Machine real(3), plan(3, Device::cpu().planned());
  step(real);
  step(plan);
  EXPECT_EQ(plan.runtime.memory().high_water(), real.runtime.memory().high_water());
  EXPECT_EQ(plan.runtime.memory().at_peak(Account::workspace),
            real.runtime.memory().at_peak(Account::workspace));
  EXPECT_GT(plan.runtime.memory().at_peak(Account::workspace), 0U);
  EXPECT_EQ(plan.runtime.cost().flops(), real.runtime.cost().flops());
  EXPECT_EQ(plan.runtime.cost().bytes(), real.runtime.cost().bytes());
  return {plan.runtime.cost().flops(), plan.runtime.cost().bytes()};
}

}  // namespace rankine::testing_support
