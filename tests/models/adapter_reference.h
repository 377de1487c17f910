// An adapted SharedLinear in double, from its formulas alone: every factor is materialised, and gradients are
// central differences. With the norms of DoRA held still the loss is linear in each single number, so these
// differences are exact up to rounding.
#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "engine/core/philox.h"
#include "models/nn/linear.h"

namespace rankine::testing_support {

using Doubles = std::vector<double>;

// (rows, inner) · (cols, inner)ᵀ.
inline Doubles times_transposed(const Doubles& a, const Doubles& b, std::int64_t inner) {
  const std::int64_t rows = std::ssize(a) / inner, cols = std::ssize(b) / inner;
  Doubles y(static_cast<std::size_t>(rows * cols));
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < cols; ++j) {
      for (std::int64_t k = 0; k < inner; ++k) y[i * cols + j] += a[i * inner + k] * b[j * inner + k];
    }
  }
  return y;
}

// Inverted dropout of x, `samples` streams of equal length.
inline void drop_reference(Doubles& x, std::int64_t samples, const Context& c, std::uint32_t use, float p) {
  const std::int64_t each = std::ssize(x) / samples;
  for (std::int64_t n = 0; n < samples; ++n) {
    HostRandom random(c.random(use, static_cast<std::uint32_t>(n)));
    for (std::int64_t k = 0; k < each; ++k)
      x[n * each + k] = random.uniform() >= p ? x[n * each + k] / (1 - static_cast<double>(p)) : 0;
  }
}

struct ReferenceMember {
  int output;
  std::int64_t rank;
  double scale;
  Doubles down, up, magnitude, inverse_norm;  // the last two of DoRA; inverse_norm is a constant
  Doubles initial_down, initial_up;           // PiSSA
};

struct ReferenceLinear {
  std::int64_t in = 0, samples = 1;
  std::vector<Doubles> weights, biases;  // empty bias: none
  std::vector<ReferenceMember> members;
  LoraDropout dropout;
  std::string layer;

  // 1 / ||row of W + s B A||, from the sum itself.
  Doubles inverse_norms(const ReferenceMember& m) const {
    Doubles sum = weights[m.output], inverse;
    const std::int64_t out = std::ssize(sum) / in;
    for (std::int64_t o = 0; o < out; ++o) {
      double square = 0;
      for (std::int64_t k = 0; k < in; ++k) {
        double w = sum[o * in + k];
        for (std::int64_t r = 0; r < m.rank; ++r) w += m.scale * m.up[o * m.rank + r] * m.down[r * in + k];
        square += w * w;
      }
      inverse.push_back(1 / std::sqrt(square));
    }
    return inverse;
  }

  std::vector<Doubles> forward(const Context& c, const Doubles& x) const {
    std::vector<Doubles> ys;
    for (const Doubles& w : weights) ys.push_back(times_transposed(x, w, in));
    Doubles input = x;
    if (c.training && dropout.input > 0)
      drop_reference(input, samples, c, purpose(layer + ".input_dropout"), dropout.input);
    add_members(ys, x, all_middles(c, input));
    for (std::size_t i = 0; i < ys.size(); ++i) {
      for (std::size_t k = 0; !biases[i].empty() && k < ys[i].size(); ++k)
        ys[i][k] += biases[i][k % biases[i].size()];
    }
    return ys;
  }

 private:
  // (T, R): the members' middles side by side, dropped as one.
  Doubles all_middles(const Context& c, const Doubles& input) const {
    Doubles down;
    for (const ReferenceMember& m : members) down.insert(down.end(), m.down.begin(), m.down.end());
    Doubles s = times_transposed(input, down, in);
    if (c.training && dropout.neuron > 0)
      drop_reference(s, samples, c, purpose(layer + ".dropout"), dropout.neuron);
    return s;
  }
  void add_members(std::vector<Doubles>& ys, const Doubles& x, const Doubles& s) const {
    std::int64_t first = 0, total = 0;
    for (const ReferenceMember& m : members) total += m.rank;
    for (const ReferenceMember& m : members) {
      Doubles& y = ys[m.output];
      const std::int64_t out = std::ssize(m.up) / m.rank, rows = std::ssize(y) / out;
      const Doubles s0 = m.initial_down.empty() ? Doubles() : times_transposed(x, m.initial_down, in);
      for (std::int64_t t = 0; t < rows; ++t) {
        for (std::int64_t o = 0; o < out; ++o) {
          for (std::int64_t r = 0; r < m.rank; ++r) {
            y[t * out + o] += m.scale * s[t * total + first + r] * m.up[o * m.rank + r];
            if (!s0.empty()) y[t * out + o] -= m.scale * s0[t * m.rank + r] * m.initial_up[o * m.rank + r];
          }
          if (!m.magnitude.empty()) y[t * out + o] *= m.magnitude[o] * m.inverse_norm[o];
        }
      }
      first += m.rank;
    }
  }
};

// d loss() / d values by central differences.
inline Doubles differences(Doubles& values, const std::function<double()>& loss) {
  constexpr double kStep = 1e-2;
  Doubles gradient;
  for (double& v : values) {
    const double at = v;
    v = at + kStep;
    const double above = loss();
    v = at - kStep;
    gradient.push_back((above - loss()) / (2 * kStep));
    v = at;
  }
  return gradient;
}

}  // namespace rankine::testing_support
