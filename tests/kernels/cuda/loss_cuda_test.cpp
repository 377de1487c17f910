// The regression and KL losses and the posterior sample on CUDA: see loss_test.cpp for the same on the CPU.
#include "kernels/loss/loss.h"

#include "kernels/loss/loss_ref.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

constexpr Regression kKinds[] = {Regression::mse, Regression::huber, Regression::smooth_l1};
constexpr Tolerance kLoss = kernel_tolerance(DType::f32);  // fp32 whatever the activations are

struct LossShape {
  std::int64_t samples, pixels, channels;
};
// The last two: many samples, more than one block per sample.
constexpr LossShape kShapes[] = {{1, 1, 1}, {3, 7, 1}, {2, 31, 3}, {66, 2, 1}, {1, 700, 4}};

Doubles weights(std::int64_t n) {
  Doubles w;
  for (std::int64_t i = 0; i < n; ++i) w.push_back(0.25 + 0.5 * double(i % 5));
  return w;
}

class LossCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, LossCuda, gpu_float_types(), gpu_case_name);

TEST_P(LossCuda, RegressionMatchesTheReference) {
  for (const Regression kind : kKinds) {
    for (const auto& [samples, pixels, channels] : kShapes) {
      if (samples * pixels * channels > 1000 && !takes_large()) continue;
      SCOPED_TRACE(join(int(kind), " ", samples, " ", pixels, " ", channels));
      const RegressionSpec spec{kind, 0.2F};
      const Shape shape{samples, pixels, channels};
      const Tensor pred = random(shape, 1),
                   target = random(shape, 2, 1.0F, kind == Regression::mse ? DType::f32 : type());
      const Doubles p = from_device(pred), t = from_device(target);
      const Doubles w = weights(samples);
      const Tensor weight = to_device({samples}, w, DType::f32);
      Tensor loss = garbage({samples}, DType::f32), dpred = garbage(shape), none;
      regression_loss(c(), loss, dpred, pred, target, weight, spec);
      Doubles want(samples), dwant(p.size());
      const std::int64_t each = pixels * channels;
      for (std::int64_t i = 0; i < samples * each; ++i) {
        const double d = p[i] - t[i], factor = w[i / each] / double(each);
        want[i / each] += factor * ref::regression_term(d, kind, double(0.2F));
        dwant[i] = factor * ref::regression_slope(d, kind, double(0.2F));
      }
      EXPECT_TRUE(close(from_device(loss), want, kLoss));
      EXPECT_TRUE(close_to(dpred, dwant));
      Tensor again = garbage({samples}, DType::f32), in_place = to_device(shape, p);
      regression_loss(c(), again, none, pred, target, weight, spec);  // the value alone
      EXPECT_EQ(bytes_from_device(again), bytes_from_device(loss));
      regression_loss(c(), again, in_place, in_place, target, weight, spec);
      EXPECT_EQ(bytes_from_device(in_place), bytes_from_device(dpred));
    }
  }
}

TEST_P(LossCuda, KlMatchesTheReferenceAndAddsItsGradient) {
  for (const auto& [samples, pixels, channels] : kShapes) {
    SCOPED_TRACE(join(samples, " ", pixels, " ", channels));
    const Shape shape{samples, pixels, 2 * channels};
    Doubles m = to_double(random_tensor(host_.c, shape, 1, 2.0F));
    if (pixels > 6) m[3 * channels] = -31;  // a clamped log-variance
    const Tensor moments = to_device(shape, m), before = random(shape, 2, 1e-2F);
    m = from_device(moments);
    Tensor loss = garbage({samples}, DType::f32), dmoments = to_device(shape, from_device(before));
    const Doubles w = weights(samples);
    const Tensor weight = to_device({samples}, w, DType::f32);
    kl_normal_loss(c(), loss, dmoments, moments, weight);
    Doubles want(samples), dwant = from_device(before);
    for (std::int64_t i = 0; i < samples * pixels * channels; ++i) {
      const std::int64_t n = i / (pixels * channels), at = i / channels * 2 * channels + i % channels;
      const double factor = w[n] / double(pixels * channels);
      want[n] += factor * ref::kl_term(m[at], m[at + channels]);
      dwant[at] += factor * ref::kl_dmean(m[at]);
      dwant[at + channels] += factor * ref::kl_dlogvar(m[at + channels]);
    }
    EXPECT_TRUE(close(from_device(loss), want, kLoss));
    EXPECT_TRUE(close_to(dmoments, dwant));
  }
}

TEST_P(LossCuda, PosteriorSampleMatchesTheReference) {
  for (const auto& [samples, pixels, channels] : {LossShape{1, 1, 1}, {2, 31, 3}, {3, 7, 4}}) {
    for (const DType beside : {type(), DType::f32}) {
      const Shape shape{samples, pixels, 2 * channels}, narrow{samples, pixels, channels};
      Doubles m = to_double(random_tensor(host_.c, shape, 1, 2.0F));
      if (pixels > 6) m[3 * channels] = -31;
      const Tensor moments = to_device(shape, m), eps = random(narrow, 2, 1.0F, beside),
                   dz = random(narrow, 3, 1.0F, beside);
      m = from_device(moments);
      const Doubles e = from_device(eps), g = from_device(dz);
      Tensor z = garbage(narrow, beside), dmoments = garbage(shape);
      sample_posterior(c(), z, moments, eps);
      sample_posterior_backward(c(), dmoments, dz, moments, eps);
      Doubles want(e.size()), dwant(m.size());
      for (std::int64_t i = 0; i < samples * pixels * channels; ++i) {
        const std::int64_t at = i / channels * 2 * channels + i % channels;
        want[i] = ref::posterior(m[at], m[at + channels], e[i]);
        dwant[at] = g[i];
        dwant[at + channels] = g[i] * ref::posterior_dlogvar(m[at + channels], e[i]);
      }
      EXPECT_TRUE(close_to(z, want));
      EXPECT_TRUE(close_to(dmoments, dwant));
    }
  }
}

TEST_P(LossCuda, PlanForecastsTheMemory) {
  for (const std::int64_t samples : {2, 70}) {
    expect_forecast([t = type(), samples](const Context& c) {
      Tensor pred = c.empty({samples, 50}, "pred", t), loss = c.empty({samples}, "loss", DType::f32);
      regression_loss(c, loss, pred, pred, pred, c.like(loss, "weight"), {});
    });
    expect_forecast([t = type(), samples](const Context& c) {
      Tensor moments = c.empty({samples, 6, 8}, "moments", t), loss = c.empty({samples}, "loss", DType::f32);
      kl_normal_loss(c, loss, moments, moments, c.like(loss, "weight"));
    });
  }
}

TEST_P(LossCuda, WrongTensorsAreNamed) {
  const DType other_type = type() == DType::f16 ? DType::bf16 : DType::f16;
  Tensor pred = garbage({2, 6}), mixed = garbage({2, 6}, other_type), loss = garbage({2}, DType::f32),
         half_loss = garbage({2}, DType::f16), z = garbage({2, 3}), odd = garbage({2, 5});
  const Tensor one = garbage({1}, DType::f32), two = garbage({2}, DType::f32);
  expect_shape_error("regression_loss", [&] { regression_loss(c(), loss, mixed, pred, pred, two, {}); });
  expect_shape_error("regression_loss", [&] { regression_loss(c(), loss, pred, pred, mixed, two, {}); });
  expect_shape_error("regression_loss", [&] { regression_loss(c(), half_loss, pred, pred, pred, two, {}); });
  expect_shape_error("regression_loss", [&] { regression_loss(c(), loss, pred, pred, pred, one, {}); });
  expect_shape_error("kl_normal_loss", [&] { kl_normal_loss(c(), loss, mixed, pred, two); });
  expect_shape_error("sample_posterior", [&] { sample_posterior(c(), z, odd, z); });
  expect_shape_error("sample_posterior_backward", [&] { sample_posterior_backward(c(), mixed, z, pred, z); });
}

}  // namespace
}  // namespace rankine
