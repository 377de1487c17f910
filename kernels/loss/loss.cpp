#include "kernels/loss/loss.h"

#include "kernels/loss/loss_impl.h"

namespace rankine {
namespace {

constexpr double kWord = sizeof(float);

void check_samples(std::string_view op, std::string_view what, const Tensor& t, const Tensor& loss,
                   std::size_t weights) {
  require<ShapeError>(t.defined() && t.shape().rank() >= 1, op, ": expected ", what,
                      " of samples (N, ...), got ",
                      t.defined() ? t.shape().to_string() : "an undefined tensor");
  check_dtype(op, what, t, DType::f32);
  check_float(op, "loss", loss, {t.dim(0)});
  require<ShapeError>(static_cast<std::int64_t>(weights) == t.dim(0), op, ": expected ", t.dim(0),
                      " weights, one per sample, got ", weights);
}

LatentSize latent_size(std::string_view op, const Tensor& moments) {
  require<ShapeError>(moments.defined() && moments.shape().rank() >= 2 && moments.cols() % 2 == 0, op,
                      ": expected moments (N, ..., 2Z), got ",
                      moments.defined() ? moments.shape().to_string() : "an undefined tensor");
  check_dtype(op, "moments", moments, DType::f32);
  const std::int64_t samples = moments.dim(0);
  return {samples, samples == 0 ? 0 : moments.rows() / samples, moments.cols() / 2};
}

// Partial sums in double, each in two fp32 words.
Tensor partial_sums(const Context& c, std::string_view op, std::int64_t count) {
  return c.workspace({std::max<std::int64_t>(1, count), 2}, std::string(op));
}

}  // namespace

void regression_loss(const Context& c, Tensor& loss, Tensor& dpred, const Tensor& pred, const Tensor& target,
                     std::span<const float> weight, const RegressionSpec& spec) {
  constexpr std::string_view kName = "regression_loss";
  check_samples(kName, "pred", pred, loss, weight.size());
  check_float(kName, "target", target, pred.shape());
  if (dpred.defined()) check_float(kName, "dpred", dpred, pred.shape());
  require<ShapeError>(spec.kind == Regression::mse || spec.c > 0, kName, ": c must be positive, got ",
                      spec.c);
  const std::int64_t samples = pred.dim(0), n = pred.numel();
  RegressionArgs args{};
  args.samples = samples;
  args.each = samples == 0 ? 0 : n / samples;
  args.spec = spec;
  Tensor partial = partial_sums(c, kName, samples * args.chunks());
  Op op(c, kName, {6.0 * double(n), kWord * (dpred.defined() ? 3.0 : 2.0) * double(n)});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  args.loss = loss.data<float>();
  args.dpred = dpred.defined() ? dpred.data<float>() : nullptr;
  args.pred = pred.data<float>();
  args.target = target.data<float>();
  args.weight = weight.data();
  args.partial = static_cast<double*>(partial.raw());
  cpu::regression_loss(c.pool(), args);
}

void kl_normal_loss(const Context& c, Tensor& loss, Tensor& dmoments, const Tensor& moments,
                    std::span<const float> weight) {
  constexpr std::string_view kName = "kl_normal_loss";
  const LatentSize size = latent_size(kName, moments);
  check_samples(kName, "moments", moments, loss, weight.size());
  check_float(kName, "dmoments", dmoments, moments.shape());
  Tensor partial = partial_sums(c, kName, size.samples * size.chunks().count());
  Op op(c, kName, {5.0 * double(moments.numel()), 3 * kWord * double(moments.numel())});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::kl_normal_loss(c.pool(), {loss.data<float>(), dmoments.data<float>(), moments.data<float>(),
                                 weight.data(), static_cast<double*>(partial.raw()), size});
}

void sample_posterior(const Context& c, Tensor& z, const Tensor& moments, const Tensor& eps) {
  constexpr std::string_view kName = "sample_posterior";
  const LatentSize size = latent_size(kName, moments);
  check_float(kName, "z", z, moments.shape().with_dim(-1, size.channels));
  check_float(kName, "eps", eps, z.shape());
  Op op(c, kName, {4.0 * double(z.numel()), 4 * kWord * double(z.numel())});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::sample_posterior(c.pool(), z.data<float>(), moments.data<float>(), eps.data<float>(), size);
}

void sample_posterior_backward(const Context& c, Tensor& dmoments, const Tensor& dz, const Tensor& moments,
                               const Tensor& eps) {
  constexpr std::string_view kName = "sample_posterior_backward";
  const LatentSize size = latent_size(kName, moments);
  check_float(kName, "dmoments", dmoments, moments.shape());
  check_float(kName, "dz", dz, moments.shape().with_dim(-1, size.channels));
  check_float(kName, "eps", eps, dz.shape());
  Op op(c, kName, {5.0 * double(dz.numel()), 5 * kWord * double(dz.numel())});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  cpu::sample_posterior_backward(
      c.pool(), {dmoments.data<float>(), dz.data<float>(), moments.data<float>(), eps.data<float>()}, size);
}

void cross_entropy(const Context& c, Tensor& loss, Tensor& dlogits, const Tensor& logits,
                   const Tensor& targets, const Tensor& weights, Tensor* correct) {
  constexpr std::string_view kName = "cross_entropy";
  require<ShapeError>(logits.defined() && logits.shape().rank() == 2 && logits.dim(1) > 0, kName,
                      ": expected logits (R, V), got ",
                      logits.defined() ? logits.shape().to_string() : "an undefined tensor");
  check_dtype(kName, "logits", logits, DType::f32);
  const Shape rows{logits.dim(0)};
  check_float(kName, "loss", loss, rows);
  check_float(kName, "weights", weights, rows);
  check_shape(kName, "targets", targets, rows);
  check_dtype(kName, "targets", targets, DType::i32);
  if (dlogits.defined()) check_float(kName, "dlogits", dlogits, logits.shape());
  if (correct) {
    check_shape(kName, "correct", *correct, rows);
    check_dtype(kName, "correct", *correct, DType::i32);
  }
  const double n = double(logits.numel());
  Op op(c, kName, {6 * n, kWord * (dlogits.defined() ? 2 : 1) * n});
  if (op.planned()) return;
  if (c.device().is_cuda()) no_kernel(kName, c);
  const CrossEntropyArgs args{loss.data<float>(),
                              dlogits.defined() ? dlogits.data<float>() : nullptr,
                              correct ? correct->data<std::int32_t>() : nullptr,
                              logits.data<float>(),
                              targets.data<std::int32_t>(),
                              weights.data<float>(),
                              logits.dim(0),
                              logits.dim(1)};
  cpu::check_targets(kName, args);
  cpu::cross_entropy(c.pool(), args);
}

}  // namespace rankine
