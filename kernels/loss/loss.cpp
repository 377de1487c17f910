#include "kernels/loss/loss.h"

#include "kernels/loss/loss_impl.h"

namespace rankine {
namespace {

double bytes(const Tensor& t) { return double(t.bytes()); }
void* optional(Tensor& t) { return t.defined() ? t.raw() : nullptr; }

void check_samples(const Context& c, std::string_view op, std::string_view what, const Tensor& t,
                   const Tensor& loss, const Tensor& weight) {
  require<ShapeError>(t.defined() && t.shape().rank() >= 1, op, ": expected ", what,
                      " of samples (N, ...), got ",
                      t.defined() ? t.shape().to_string() : "an undefined tensor");
  check_activation(c, op, what, t, t.shape());
  check_float(op, "loss", loss, {t.dim(0)});
  check_float(op, "weight", weight, {t.dim(0)});
}

LatentSize latent_size(const Context& c, std::string_view op, const Tensor& moments) {
  require<ShapeError>(moments.defined() && moments.shape().rank() >= 2 && moments.cols() % 2 == 0, op,
                      ": expected moments (N, ..., 2Z), got ",
                      moments.defined() ? moments.shape().to_string() : "an undefined tensor");
  check_activation(c, op, "moments", moments, moments.shape());
  const std::int64_t samples = moments.dim(0);
  return {samples, samples == 0 ? 0 : moments.rows() / samples, moments.cols() / 2};
}

// Partial sums of `each` elements of every sample: on the CPU `chunks` of them in double, two fp32 words
// each; on CUDA in fp32.
Tensor partial_sums(const Context& c, std::string_view op, std::int64_t samples, std::int64_t chunks,
                    std::int64_t each) {
  const std::int64_t words = samples * (c.device().is_cuda() ? cuda::loss_chunks(each) : 2 * chunks);
  return c.workspace({std::max<std::int64_t>(2, words)}, std::string(op));
}

}  // namespace

void regression_loss(const Context& c, Tensor& loss, Tensor& dpred, const Tensor& pred, const Tensor& target,
                     const Tensor& weight, const RegressionSpec& spec) {
  constexpr std::string_view kName = "regression_loss";
  check_samples(c, kName, "pred", pred, loss, weight);
  check_float_or(kName, "target", target, pred.shape(), pred.dtype());
  if (dpred.defined()) check_of_type(kName, "dpred", dpred, pred.shape(), pred.dtype());
  require<ShapeError>(spec.kind == Regression::mse || spec.c > 0, kName, ": c must be positive, got ",
                      spec.c);
  const std::int64_t samples = pred.dim(0), n = pred.numel();
  RegressionArgs args{};
  args.samples = samples;
  args.each = samples == 0 ? 0 : n / samples;
  args.spec = spec;
  Tensor partial = partial_sums(c, kName, samples, args.chunks(), args.each);
  Op op(c, kName, {6.0 * double(n), (dpred.defined() ? 2.0 : 1.0) * bytes(pred) + bytes(target)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::regression_loss(c.cuda_stream(), {loss.data<float>(),
                                                     optional(dpred),
                                                     pred.raw(),
                                                     pred.dtype(),
                                                     {target.raw(), target.dtype()},
                                                     weight.data<float>(),
                                                     partial.data<float>(),
                                                     samples,
                                                     args.each,
                                                     spec});
    }
  }
  args.loss = loss.data<float>();
  args.dpred = dpred.defined() ? dpred.data<float>() : nullptr;
  args.pred = pred.data<float>();
  args.target = target.data<float>();
  args.weight = weight.data<float>();
  args.partial = static_cast<double*>(partial.raw());
  cpu::regression_loss(c.pool(), args);
}

void kl_normal_loss(const Context& c, Tensor& loss, Tensor& dmoments, const Tensor& moments,
                    const Tensor& weight) {
  constexpr std::string_view kName = "kl_normal_loss";
  const LatentSize size = latent_size(c, kName, moments);
  check_samples(c, kName, "moments", moments, loss, weight);
  check_of_type(kName, "dmoments", dmoments, moments.shape(), moments.dtype());
  Tensor partial = partial_sums(c, kName, size.samples, size.chunks().count(), size.pixels * size.channels);
  Op op(c, kName, {5.0 * double(moments.numel()), 3 * bytes(moments)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::kl_normal_loss(c.cuda_stream(),
                                  {loss.data<float>(), dmoments.raw(), moments.raw(), moments.dtype(),
                                   weight.data<float>(), partial.data<float>(), size});
    }
  }
  cpu::kl_normal_loss(c.pool(), {loss.data<float>(), dmoments.data<float>(), moments.data<float>(),
                                 weight.data<float>(), static_cast<double*>(partial.raw()), size});
}

void sample_posterior(const Context& c, Tensor& z, const Tensor& moments, const Tensor& eps) {
  constexpr std::string_view kName = "sample_posterior";
  const LatentSize size = latent_size(c, kName, moments);
  check_float_or(kName, "z", z, moments.shape().with_dim(-1, size.channels), moments.dtype());
  check_float_or(kName, "eps", eps, z.shape(), moments.dtype());
  Op op(c, kName, {4.0 * double(z.numel()), bytes(z) + bytes(moments) + bytes(eps)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::sample_posterior(
          c.cuda_stream(),
          {z.raw(), z.dtype(), moments.raw(), moments.dtype(), {eps.raw(), eps.dtype()}, size});
    }
  }
  cpu::sample_posterior(c.pool(), z.data<float>(), moments.data<float>(), eps.data<float>(), size);
}

void sample_posterior_backward(const Context& c, Tensor& dmoments, const Tensor& dz, const Tensor& moments,
                               const Tensor& eps) {
  constexpr std::string_view kName = "sample_posterior_backward";
  const LatentSize size = latent_size(c, kName, moments);
  check_of_type(kName, "dmoments", dmoments, moments.shape(), moments.dtype());
  check_float_or(kName, "dz", dz, moments.shape().with_dim(-1, size.channels), moments.dtype());
  check_float_or(kName, "eps", eps, dz.shape(), moments.dtype());
  Op op(c, kName, {5.0 * double(dz.numel()), bytes(dz) + bytes(eps) + bytes(moments) + bytes(dmoments)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::sample_posterior_backward(c.cuda_stream(), {dmoments.raw(),
                                                               {dz.raw(), dz.dtype()},
                                                               moments.raw(),
                                                               moments.dtype(),
                                                               {eps.raw(), eps.dtype()},
                                                               size});
    }
  }
  cpu::sample_posterior_backward(
      c.pool(), {dmoments.data<float>(), dz.data<float>(), moments.data<float>(), eps.data<float>()}, size);
}

void cross_entropy(const Context& c, Tensor& loss, Tensor& dlogits, const Tensor& logits,
                   const Tensor& targets, const Tensor& weights, Tensor* correct) {
  constexpr std::string_view kName = "cross_entropy";
  require<ShapeError>(logits.defined() && logits.shape().rank() == 2 && logits.dim(1) > 0, kName,
                      ": expected logits (R, V), got ",
                      logits.defined() ? logits.shape().to_string() : "an undefined tensor");
  const DType type = check_activation(c, kName, "logits", logits, logits.shape());
  const Shape rows{logits.dim(0)};
  check_float(kName, "loss", loss, rows);
  check_float(kName, "weights", weights, rows);
  check_shape(kName, "targets", targets, rows);
  check_dtype(kName, "targets", targets, DType::i32);
  if (dlogits.defined()) check_of_type(kName, "dlogits", dlogits, logits.shape(), type);
  if (correct) {
    check_shape(kName, "correct", *correct, rows);
    check_dtype(kName, "correct", *correct, DType::i32);
  }
  const double n = double(logits.numel());
  Op op(c, kName, {6 * n, (dlogits.defined() ? 2 : 1) * bytes(logits)});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::cross_entropy(c.cuda_stream(), {loss.data<float>(), optional(dlogits),
                                                   correct ? correct->data<std::int32_t>() : nullptr,
                                                   logits.raw(), type, targets.data<std::int32_t>(),
                                                   weights.data<float>(), logits.dim(0), logits.dim(1)});
    }
  }
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
