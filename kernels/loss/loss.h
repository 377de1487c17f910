// Losses: value and gradient in one pass, sums in an order that follows from the shapes alone. loss and
// weights (one per sample or row) are fp32. On the CPU all is fp32, summed in double. On CUDA pred, moments
// and logits may be fp32, fp16 or bf16, their gradients are of their type, target, z, dz and eps of that type
// or fp32; all is computed and summed in fp32.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// With d = pred - target:
enum class Regression : std::uint8_t {
  mse,        // d²
  huber,      // pseudo-Huber 2c (sqrt(d² + c²) - c)
  smooth_l1,  // 2 (sqrt(d² + c²) - c)
};
struct RegressionSpec {
  Regression kind = Regression::mse;
  float c = 0.1F;  // > 0; not used by mse
};
// pred, target, dpred (N, ...). loss (N) = per sample, the mean over its elements times weight[n].
// dpred = d(sum_n loss[n]) / d pred; the caller puts 1/samples into weight. loss and dpred are overwritten;
// dpred may be the same tensor as pred, or undefined when only the value is wanted.
void regression_loss(const Context& c, Tensor& loss, Tensor& dpred, const Tensor& pred, const Tensor& target,
                     const Tensor& weight, const RegressionSpec& spec);

// KL(N(mean, exp(logvar)) || N(0, 1)) of a diagonal Gaussian: moments (N, h, w, 2Z) = [mean | logvar] on the
// last dimension, logvar clamped to [-30, 20]. loss (N) = weight[n] * sum over latent elements of 0.5 (mean²
// + exp(logvar) - 1 - logvar) / (h w Z);  dmoments is *added to*. Where logvar is clamped its gradient is 0.
void kl_normal_loss(const Context& c, Tensor& loss, Tensor& dmoments, const Tensor& moments,
                    const Tensor& weight);

// z (N, h, w, Z) = mean + exp(logvar / 2) eps, and its adjoint into dmoments (overwritten). Same clamp.
void sample_posterior(const Context& c, Tensor& z, const Tensor& moments, const Tensor& eps);
void sample_posterior_backward(const Context& c, Tensor& dmoments, const Tensor& dz, const Tensor& moments,
                               const Tensor& eps);

// Cross-entropy of a softmax over a vocabulary: logits (R, V), targets (R) i32 in [0, V), weights (R) fp32.
//   loss[r] = weights[r] (ln sum_v exp(logits[r,v]) - logits[r,targets[r]])
//   dlogits[r,v] = weights[r] (exp(logits[r,v]) / sum_v exp(logits[r,v]) - [v = targets[r]])
// loss (R) and dlogits are overwritten; dlogits may be the same tensor as logits, or undefined when only the
// value is wanted. The caller puts 1/(trained tokens) into weights; a row of weight 0 gives zeros whatever
// its logits are. `correct`, where asked for, (R) i32: 1 where the first largest logit is the target's, else
// 0 (also beside a NaN). Exponents are taken below the row's maximum, so finite logits of any size are right.
// Throws ShapeError; one for a target outside the vocabulary names its row. CUDA does not wait to look at
// targets: such a row gets a loss and a gradient of NaN.
void cross_entropy(const Context& c, Tensor& loss, Tensor& dlogits, const Tensor& logits,
                   const Tensor& targets, const Tensor& weights, Tensor* correct = nullptr);

}  // namespace rankine
