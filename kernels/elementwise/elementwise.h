// Elementwise operations and broadcasts over rows. y may be the same tensor as x. Each reads its inputs once
// and writes its output once. Wrong shapes and types throw ShapeError.
//
// On the CPU all tensors are fp32 unless said. On CUDA the tensors of one call are all fp32, all fp16 or all
// bf16, computed in fp32 and rounded once; v, dv, table, and mix_per_sample's pair x, z, may be fp32 beside
// halves; dtable is fp32. Sums run in an order that follows from the shapes alone.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

void fill(const Context& c, Tensor& y, float value);      // y = value
void copy(const Context& c, Tensor& y, const Tensor& x);  // y = x, same shape; converts f32/f16/bf16
void scale(const Context& c, Tensor& y, const Tensor& x, float s);             // y = s x
void add(const Context& c, Tensor& y, const Tensor& a, const Tensor& b);       // y = a + b
void add_scaled(const Context& c, Tensor& y, const Tensor& x, float s);        // y += s x
void multiply(const Context& c, Tensor& y, const Tensor& a, const Tensor& b);  // y = a * b
// y += weight (x - y): moving averages.
void lerp(const Context& c, Tensor& y, const Tensor& x, float weight);

// y (N, ..., C) += v (N, C): one vector per sample, e.g. the time embedding on a feature map.
void add_per_sample(const Context& c, Tensor& y, const Tensor& v);
// y (N, ..., C) *= v (N, C): one factor per sample and channel, e.g. a mask of adapter ranks.
void multiply_per_sample(const Context& c, Tensor& y, const Tensor& v);
// dv (N, C) = sum of dy (N, ..., C) over everything between: the adjoint of add_per_sample.
void sum_per_sample(const Context& c, Tensor& dv, const Tensor& dy);
// y (N, ..., C) += table (..., C) for every sample: position embeddings.
void add_to_each_sample(const Context& c, Tensor& y, const Tensor& table);
// dtable (..., C) += sum over samples of dy (N, ..., C).
void sum_over_samples(const Context& c, Tensor& dtable, const Tensor& dy);

// y (..., A+B) = [a (..., A) | b (..., B)] on the last dimension, and back. split writes both parts.
void concat_channels(const Context& c, Tensor& y, const Tensor& a, const Tensor& b);
void split_channels(const Context& c, Tensor& a, Tensor& b, const Tensor& y);

// y[n, ...] = a[n] * x[n, ...] + b[n] * z[n, ...], with factors a and b (N) fp32: the noising
// x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps, and the v-prediction target.
void mix_per_sample(const Context& c, Tensor& y, const Tensor& a, const Tensor& x, const Tensor& b,
                    const Tensor& z);

}  // namespace rankine
