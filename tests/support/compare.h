// Comparison of whole tensors with a message that names the worst element.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "engine/core/context.h"
#include "tests/support/tolerance.h"

namespace rankine::testing_support {

template <class Got, class Want>
::testing::AssertionResult all_close(std::span<const Got> got, std::span<const Want> want, Tolerance tol) {
  if (got.size() != want.size()) {
    return ::testing::AssertionFailure() << "sizes differ: " << got.size() << " and " << want.size();
  }
  double unit = 0;
  for (const Want w : want) unit = std::max(unit, std::abs(static_cast<double>(w)));
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double w = static_cast<double>(want[i]);
    const double error = std::abs(static_cast<double>(got[i]) - w);
    const double ratio = error / std::max(tol.abs * unit + tol.rel * std::abs(w), 1e-300);
    if (!(ratio <= worst)) worst = std::isnan(ratio) ? INFINITY : ratio, at = i;
  }
  if (worst <= 1) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << "element " << at << ": got " << static_cast<double>(got[at]) << ", want "
         << static_cast<double>(want[at]) << " (error " << worst << " x tolerance)";
}

template <class Got, class Want>
double relative_l2(std::span<const Got> got, std::span<const Want> want) {
  double num = 0, den = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double d = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    num += d * d;
    den += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return std::sqrt(num / std::max(den, 1e-300));
}

// A tensor of numbers of a Philox stream, uniform in (-1, 1): odd inputs without a literal table.
inline Tensor random_tensor(const Context& c, Shape shape, std::uint32_t id, float scale = 1.0F) {
  Tensor t = c.empty(shape, "test");
  HostRandom random({1234, purpose("test"), 0, id});
  for (float& x : t.span<float>()) x = scale * (2 * random.uniform() - 1);
  return t;
}
inline std::vector<double> to_double(const Tensor& t) {
  return {t.data<float>(), t.data<float>() + t.numel()};
}
// The same values stored as f16 or bf16.
inline Tensor stored_as(const Context& c, const Tensor& t, DType dtype) {
  if (dtype == DType::f32) return t;
  Tensor y = c.empty(t.shape(), "stored", dtype);
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    if (dtype == DType::f16)
      y.data<Half>()[i] = to_half(t.data<float>()[i]);
    else
      y.data<BFloat16>()[i] = to_bfloat16(t.data<float>()[i]);
  }
  return y;
}

}  // namespace rankine::testing_support
