// Table look-ups and the sinusoidal embedding of timesteps.
#pragma once

#include "kernels/common/checks.h"

namespace rankine {

// y (..., C) = table (V, C)[ids (...)]; ids i32, each in [0, V) (checked; ShapeError names the offending id).
// The table may be f32, f16, bf16 or of any block type (engine/core/block_formats.h): rows are decoded
// exactly. y is fp32.
void embedding_forward(const Context& c, Tensor& y, const Tensor& table, const Tensor& ids);
// dtable (V, C)[ids] += dy: fixed order, no atomics.
void embedding_weight_grad(const Context& c, Tensor& dtable, const Tensor& dy, const Tensor& ids);

// y (N, 2·half) = [cos(t f_i) | sin(t f_i)], f_i = exp(-ln(max_period) i / half), i = 0 .. half-1
// (Vaswani et al. 2017, in the order the Stable Diffusion U-Net uses: cosines first). t (N) fp32.
void timestep_embedding(const Context& c, Tensor& y, const Tensor& t, float max_period = 10000.0F);

}  // namespace rankine
