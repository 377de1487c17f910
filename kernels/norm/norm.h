// Normalisations over rows (layer, RMS) and over groups of channels of a feature map (group), with optional
// SiLU. Statistics are fp32: mean and rstd = 1/sqrt(var + eps), var the biased variance. Backward recomputes
// the normalised value from x and the statistics. Gains and biases may be undefined tensors, meaning 1 and 0.
// y may be the same tensor as x, dx the same as dy. Sums run in an order that follows from the shapes alone;
// a mean far above the deviation costs forward no digits.
//
// Statistics and dgain, dbias are fp32. On the CPU all is fp32; on CUDA x, y, dy, dx are all fp32, all fp16
// or all bf16, computed in fp32 and rounded once, and a gain or bias is fp32 or of their type. Scratch
// (workspace): one or two numbers per column, or channel, and chunk of at least 32 rows, at most 1024 chunks.
#pragma once

#include "kernels/common/middle.h"

namespace rankine {

// y = (x - mean) rstd * gain + bias, per row of C.  x, y (..., C); stats (rows, 2) = [mean, rstd]; gain, bias
// (C).
void layer_norm_forward(const Context& c, Tensor& y, Tensor& stats, const Tensor& x, const Tensor& gain,
                        const Tensor& bias, float eps);
// dx = rstd (g - mean_C(g) - xhat mean_C(g xhat)), g = dy * gain.
void layer_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& stats,
                         const Tensor& gain);
// dgain += sum_rows dy xhat ; dbias += sum_rows dy (unless dbias is undefined).
void layer_norm_param_grad(const Context& c, Tensor& dgain, Tensor& dbias, const Tensor& dy, const Tensor& x,
                           const Tensor& stats);

// y = x rstd * gain, rstd = 1/sqrt(mean(x^2) + eps).  rstd (rows).                (Zhang & Sennrich 2019)
void rms_norm_forward(const Context& c, Tensor& y, Tensor& rstd, const Tensor& x, const Tensor& gain,
                      float eps);
void rms_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& rstd,
                       const Tensor& gain);
void rms_norm_param_grad(const Context& c, Tensor& dgain, const Tensor& dy, const Tensor& x,
                         const Tensor& rstd);

// The same forwards, y and statistics to the bit, and the middle S = y · downᵀ of the adapters that read y.
// On CUDA one kernel makes all, if there are more than 8 rows of fp16 or bf16, R is at most 64, C a multiple
// of 8, at most 8192, and all addresses but down's are multiples of 16 bytes; S is summed from y as it is
// stored. Otherwise this is the norm, then lowrank_middle.
void layer_norm_forward_with_middle(const Context& c, Tensor& y, Tensor& stats, const Tensor& x,
                                    const Tensor& gain, const Tensor& bias, float eps, MiddleOut middle);
void rms_norm_forward_with_middle(const Context& c, Tensor& y, Tensor& rstd, const Tensor& x,
                                  const Tensor& gain, float eps, MiddleOut middle);

// Group normalisation of a channels-last map (Wu & He 2018), optionally followed by SiLU in the same pass.
enum class NormThen : std::uint8_t { nothing, silu };
struct GroupNormSpec {
  int groups = 32;
  float eps = 1e-5F;
  NormThen then = NormThen::nothing;
};
// x, y (N, ..., C), everything between N and C is space; stats (N, groups, 2) = [mean, rstd] over space and
// C/groups.
void group_norm_forward(const Context& c, Tensor& y, Tensor& stats, const Tensor& x, const Tensor& gain,
                        const Tensor& bias, const GroupNormSpec& spec);
void group_norm_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& x, const Tensor& stats,
                         const Tensor& gain, const Tensor& bias, const GroupNormSpec& spec);
// dgain (C) +=, dbias (C) +=. Pass bias too: the SiLU derivative needs the pre-activation.
struct GroupNormGrads {
  Tensor& dgain;
  Tensor& dbias;
};
void group_norm_param_grad(const Context& c, GroupNormGrads grads, const Tensor& dy, const Tensor& x,
                           const Tensor& stats, const Tensor& gain, const Tensor& bias,
                           const GroupNormSpec& spec);

}  // namespace rankine
