#include "kernels/rope/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"

namespace rankine {
namespace {

constexpr double kTurn = 2 * std::numbers::pi;

void check(bool ok, const char* what, double got) {
  require<ShapeError>(ok, "rope_inv_freq: ", what, ", got ", got);
}

void check_scaling(const RopeScaling& s, std::int64_t rotary_dims) {
  using Kind = RopeScaling::Kind;
  check(s.divisors.empty() || static_cast<std::int64_t>(s.divisors.size()) == rotary_dims / 2,
        "one divisor per pair is needed", double(s.divisors.size()));
  for (const float d : s.divisors) check(std::isfinite(d) && d > 0, "divisors must be positive", d);
  if (s.kind == Kind::none) return;
  check(std::isfinite(s.factor) && s.factor > 0, "factor must be positive", s.factor);
  if (s.kind == Kind::linear) return;
  check(std::isfinite(s.original_length) && s.original_length > 0, "original_length must be positive",
        s.original_length);
  if (s.kind == Kind::dynamic) {
    check(rotary_dims > 2, "dynamic scaling needs more than one pair", double(rotary_dims));
    check(s.factor >= 1, "dynamic scaling needs a factor of at least 1", s.factor);
    check(std::isfinite(s.length) && s.length >= 0, "length must not be negative", s.length);
  } else if (s.kind == Kind::yarn) {
    check(s.beta_slow > 0 && s.beta_fast > s.beta_slow, "beta_fast must be above beta_slow > 0", s.beta_fast);
  } else {
    check(s.low_freq_factor > 0 && s.high_freq_factor > s.low_freq_factor,
          "high_freq_factor must be above low_freq_factor > 0", s.high_freq_factor);
  }
}

double stretched_theta(double theta, double dims, const RopeScaling& s) {
  if (s.kind != RopeScaling::Kind::dynamic || s.length <= s.original_length) return theta;
  const double growth = s.factor * s.length / s.original_length - (s.factor - 1);
  return theta * std::pow(growth, dims / (dims - 2));
}

// The pair that makes `turns` turns in the original length.
double pair_of_turns(double turns, double theta, double dims, double original_length) {
  return dims * std::log(original_length / (turns * kTurn)) / (2 * std::log(theta));
}

void apply_yarn(std::vector<float>& f, double theta, const RopeScaling& s) {
  const double dims = 2 * double(f.size());
  const auto pair = [&](double turns) { return pair_of_turns(turns, theta, dims, s.original_length); };
  const double low = std::clamp(std::floor(pair(s.beta_fast)), 0.0, dims - 1);
  double high = std::clamp(std::ceil(pair(s.beta_slow)), 0.0, dims - 1);
  if (high == low) high += 0.001;  // a step instead of a division by zero
  for (std::size_t i = 0; i < f.size(); ++i) {
    const auto ramp = static_cast<float>(std::clamp((double(i) - low) / (high - low), 0.0, 1.0));
    f[i] = f[i] / static_cast<float>(s.factor) * ramp + f[i] * (1 - ramp);
  }
}

void apply_llama3(std::vector<float>& f, const RopeScaling& s) {
  for (float& x : f) {
    const double turns = s.original_length * double(x) / kTurn;
    const double keep =
        std::clamp((turns - s.low_freq_factor) / (s.high_freq_factor - s.low_freq_factor), 0.0, 1.0);
    x = static_cast<float>((1 - keep) * double(x) / s.factor + keep * double(x));
  }
}

}  // namespace

std::vector<float> rope_inv_freq(double theta, std::int64_t rotary_dims, const RopeScaling& scaling) {
  constexpr std::int64_t kMostDims = 1 << 20;
  check(rotary_dims > 0 && rotary_dims % 2 == 0 && rotary_dims <= kMostDims,
        "rotary dimensions must be positive, even and at most 2^20", double(rotary_dims));
  check(std::isfinite(theta) && theta > 1, "theta must be above 1", theta);
  check_scaling(scaling, rotary_dims);
  const auto base = static_cast<float>(stretched_theta(theta, double(rotary_dims), scaling));
  std::vector<float> f(static_cast<std::size_t>(rotary_dims / 2));
  for (std::size_t i = 0; i < f.size(); ++i)
    f[i] = 1.0F / std::pow(base, static_cast<float>(2 * i) / static_cast<float>(rotary_dims));
  if (scaling.kind == RopeScaling::Kind::linear) {
    for (float& x : f) x /= static_cast<float>(scaling.factor);
  }
  if (scaling.kind == RopeScaling::Kind::yarn) apply_yarn(f, theta, scaling);
  if (scaling.kind == RopeScaling::Kind::llama3) apply_llama3(f, scaling);
  for (std::size_t i = 0; i < scaling.divisors.size(); ++i) f[i] /= scaling.divisors[i];
  return f;
}

float rope_attention_factor(const RopeScaling& scaling) {
  if (scaling.kind != RopeScaling::Kind::yarn) return 1.0F;
  if (scaling.attention_factor) return *scaling.attention_factor;
  return scaling.factor > 1 ? static_cast<float>(0.1 * std::log(scaling.factor) + 1) : 1.0F;
}

}  // namespace rankine
