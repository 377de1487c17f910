#include "kernels/loss/loss.h"

#include "kernels/loss/loss_ref.h"
#include "tests/kernels/pointwise_support.h"

namespace rankine {
namespace {

using namespace testing_support;

constexpr Regression kKinds[] = {Regression::mse, Regression::huber, Regression::smooth_l1};

struct LossShape {
  std::int64_t samples, pixels, channels;
};
constexpr LossShape kShapes[] = {{1, 1, 1}, {3, 7, 1}, {2, 31, 3}, {5, 257, 33}, {2, 9000, 4}};

Tensor weights(const Context& c, std::int64_t n) {
  Doubles w;
  for (std::int64_t i = 0; i < n; ++i) w.push_back(0.25 + 0.5 * double(i));
  return tensor_of(c, {n}, w);
}

TEST(Loss, RegressionMatchesTheReference) {
  Cpu cpu;
  const Context& c = cpu.c;
  for (const Regression kind : kKinds) {
    for (const auto& [samples, pixels, channels] : kShapes) {
      SCOPED_TRACE(join(int(kind), " ", samples, " ", pixels, " ", channels));
      const RegressionSpec spec{kind, 0.2F};
      const Tensor pred = random_tensor(c, {samples, pixels, channels}, 1),
                   target = random_tensor(c, pred.shape(), 2);
      const Tensor w = weights(c, samples);
      Tensor loss = c.empty({samples}, "loss"), dpred = c.like(pred, "dpred"), none;
      regression_loss(c, loss, dpred, pred, target, w, spec);
      Doubles want(samples), dwant(pred.numel());
      const std::int64_t each = pixels * channels;
      for (std::int64_t i = 0; i < pred.numel(); ++i) {
        const double d = double(pred.data<float>()[i]) - double(target.data<float>()[i]);
        const double factor = double(w.data<float>()[i / each]) / double(each);
        want[i / each] += factor * ref::regression_term(d, kind, double(0.2F));
        dwant[i] = factor * ref::regression_slope(d, kind, double(0.2F));
      }
      EXPECT_TRUE(matches(loss, want));
      EXPECT_TRUE(matches(dpred, dwant));
      Tensor again = c.like(loss, "loss"), in_place = clone(c, pred);
      regression_loss(c, again, none, pred, target, w, spec);  // the value alone
      EXPECT_TRUE(same_bits(again, loss));
      regression_loss(c, again, in_place, in_place, target, w, spec);
      EXPECT_TRUE(same_bits(in_place, dpred) && same_bits(again, loss));
    }
  }
}

// sqrt(d² + c²) - c for d far below c: the plain form would cancel to zero.
TEST(Loss, SmoothLossesKeepTinyDifferences) {
  Cpu cpu;
  const Context& c = cpu.c;
  const Tensor pred = tensor_of(c, {1, 2}, {1e-5, -1e-5}), target = zeros(c, {1, 2});
  Tensor loss = c.empty({1}, "loss"), dpred = c.like(pred, "dpred");
  const Tensor one = tensor_of(c, {1}, {1});
  regression_loss(c, loss, dpred, pred, target, one, {Regression::smooth_l1, 1.0F});
  EXPECT_TRUE(matches(loss, {1e-10}));
  EXPECT_TRUE(matches(dpred, {1e-5, -1e-5}));
}

TEST(Loss, KlMatchesTheReferenceAndAddsItsGradient) {
  Cpu cpu;
  const Context& c = cpu.c;
  for (const auto& [samples, pixels, channels] : kShapes) {
    SCOPED_TRACE(join(samples, " ", pixels, " ", channels));
    Tensor moments = random_tensor(c, {samples, pixels, 2 * channels}, 1, 2.0F);
    if (pixels > 6) moments.data<float>()[2 * channels + channels] = -31.0F;  // a clamped log-variance
    const Tensor before = random_tensor(c, moments.shape(), 2, 1e-3F);
    Tensor loss = c.empty({samples}, "loss"), dmoments = clone(c, before);
    const Tensor w = weights(c, samples);
    kl_normal_loss(c, loss, dmoments, moments, w);
    Doubles want(samples), dwant = to_double(before);
    for (std::int64_t i = 0; i < samples * pixels * channels; ++i) {
      const std::int64_t n = i / (pixels * channels), at = i / channels * 2 * channels + i % channels;
      const double mean = moments.data<float>()[at], log_variance = moments.data<float>()[at + channels];
      const double factor = double(w.data<float>()[n]) / double(pixels * channels);
      want[n] += factor * ref::kl_term(mean, log_variance);
      dwant[at] += factor * ref::kl_dmean(mean);
      dwant[at + channels] += factor * ref::kl_dlogvar(log_variance);
    }
    EXPECT_TRUE(matches(loss, want));
    EXPECT_TRUE(matches(dmoments, dwant));
  }
}

TEST(Loss, PosteriorSampleMatchesTheReference) {
  Cpu cpu;
  const Context& c = cpu.c;
  for (const auto& [samples, pixels, channels] : kShapes) {
    Tensor moments = random_tensor(c, {samples, pixels, 2 * channels}, 1, 2.0F);
    if (pixels > 6) moments.data<float>()[2 * channels + channels] = -31.0F;
    const Tensor eps = random_tensor(c, {samples, pixels, channels}, 2),
                 dz = random_tensor(c, eps.shape(), 3);
    Tensor z = c.like(eps, "z"), dmoments = c.like(moments, "dmoments");
    sample_posterior(c, z, moments, eps);
    sample_posterior_backward(c, dmoments, dz, moments, eps);
    Doubles want(z.numel()), dwant(moments.numel());
    for (std::int64_t i = 0; i < z.numel(); ++i) {
      const std::int64_t at = i / channels * 2 * channels + i % channels;
      const double log_variance = moments.data<float>()[at + channels], e = eps.data<float>()[i],
                   g = dz.data<float>()[i];
      want[i] = ref::posterior(double(moments.data<float>()[at]), log_variance, e);
      dwant[at] = g;
      dwant[at + channels] = g * ref::posterior_dlogvar(log_variance, e);
    }
    EXPECT_TRUE(matches(z, want));
    EXPECT_TRUE(matches(dmoments, dwant));
  }
}

TEST(LossReference, SlopesAreTheDerivatives) {
  for (const Regression kind : kKinds) {
    for (const double d : {-2.0, -0.3, 0.0, 0.05, 1.5}) {
      const auto term = [kind](const Doubles& in) { return Doubles{ref::regression_term(in[0], kind, 0.2)}; };
      EXPECT_TRUE(
          close({1 + ref::regression_slope(d, kind, 0.2)}, {1 + differences(term, {d}, {1})[0]}, kGradcheck));
    }
  }
  const auto kl = [](const Doubles& in) { return Doubles{ref::kl_term(in[0], in[1])}; };
  const auto z = [](const Doubles& in) { return Doubles{ref::posterior(in[0], in[1], 0.6)}; };
  for (const double log_variance : {-40.0, -3.0, 0.4, 2.0}) {  // -40: clamped
    EXPECT_TRUE(close({ref::kl_dmean(0.7), ref::kl_dlogvar(log_variance)},
                      differences(kl, {0.7, log_variance}, {1}), kGradcheck));
  }
  for (const double log_variance : {-40.0, -3.0, 0.4, 2.0, 25.0}) {  // both ends clamped
    EXPECT_TRUE(close({1.0, ref::posterior_dlogvar(log_variance, 0.6)},
                      differences(z, {0.7, log_variance}, {1}), kGradcheck));
  }
}

TEST(LossChecks, ThreadsDoNotChangeBits) {
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor pred = random_tensor(c, {1, 120000}, 1), target = random_tensor(c, pred.shape(), 2);
    Tensor loss = c.empty({1}, "loss"), dpred = c.like(pred, "dpred");
    const Tensor one = tensor_of(c, {1}, {1});
    regression_loss(c, loss, dpred, pred, target, one, {});
    return loss;
  });
  expect_same_bits_for_threads([](const Context& c) {
    const Tensor moments = random_tensor(c, {1, 9000, 8}, 1);
    Tensor loss = c.empty({1}, "loss"), dmoments = zeros(c, moments.shape());
    const Tensor one = tensor_of(c, {1}, {1});
    kl_normal_loss(c, loss, dmoments, moments, one);
    return loss;
  });
}

TEST(LossChecks, WrongTensorsAreNamed) {
  Cpu cpu;
  const Context& c = cpu.c;
  Tensor pred = zeros(c, {2, 6}), other = zeros(c, {2, 5}), loss = zeros(c, {2}), z = zeros(c, {2, 3});
  const Tensor one = zeros(c, {1}), two = zeros(c, {2});
  expect_shape_error("regression_loss", [&] { regression_loss(c, loss, pred, pred, other, two, {}); });
  expect_shape_error("regression_loss", [&] { regression_loss(c, loss, other, pred, pred, two, {}); });
  expect_shape_error("regression_loss", [&] { regression_loss(c, loss, pred, pred, pred, one, {}); });
  expect_shape_error("regression_loss", [&] {
    regression_loss(c, loss, pred, pred, pred, two, {Regression::huber, 0});
  });
  expect_shape_error("kl_normal_loss", [&] { kl_normal_loss(c, loss, other, other, two); });
  expect_shape_error("kl_normal_loss", [&] { kl_normal_loss(c, loss, other, pred, two); });
  expect_shape_error("sample_posterior", [&] { sample_posterior(c, pred, pred, z); });
  expect_shape_error("sample_posterior_backward", [&] { sample_posterior_backward(c, other, z, pred, z); });
}

TEST(LossChecks, PlanAccountsOnly) {
  expect_planned("regression_loss", [&](const Context& c) {
    Tensor loss = c.empty({2}, "loss"), pred = c.empty({2, 6}, "pred");
    regression_loss(c, loss, pred, pred, pred, c.empty({2}, "weight"), {});
  });
  expect_planned("kl_normal_loss", [&](const Context& c) {
    Tensor loss = c.empty({2}, "loss"), moments = c.empty({2, 6}, "moments");
    kl_normal_loss(c, loss, moments, moments, c.empty({2}, "weight"));
  });
  expect_planned("sample_posterior", [&](const Context& c) {
    Tensor z = c.empty({2, 3}, "z");
    sample_posterior(c, z, c.empty({2, 6}, "moments"), z);
  });
  expect_planned("sample_posterior_backward", [&](const Context& c) {
    Tensor z = c.empty({2, 3}, "z"), moments = c.empty({2, 6}, "moments");
    sample_posterior_backward(c, moments, z, moments, z);
  });
}

}  // namespace
}  // namespace rankine
