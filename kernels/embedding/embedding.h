// Table look-ups and the sinusoidal embedding of timesteps.
#pragma once

#include <span>

#include "kernels/common/checks.h"

namespace rankine {

// y (..., C) = table (V, C)[ids (...)]; ids i32, each in [0, V). The table may be f32, f16, bf16 or of any
// block type (engine/core/block_formats.h): rows are decoded exactly in fp32. y is an activation: fp32 on the
// CPU; f16, bf16 (rounded once) or f32 on CUDA.
//
// An id outside the table is a ShapeError that names it on the CPU. On CUDA the ids are not read back, which
// would wait for the device: call check_ids where they are still on the host. Nothing outside the table is
// read: such an id gives a row of NaN, and adds to nothing in the weight's gradient.
void embedding_forward(const Context& c, Tensor& y, const Tensor& table, const Tensor& ids);
// dtable (V, C)[ids] += dy. dy is an activation, dtable fp32 or of dy's type. Every row of the table gets its
// terms in the order of the ids, in fp32: no atomics, the same bits for any number of threads, and on both
// devices for the same fp32 dy.
void embedding_weight_grad(const Context& c, Tensor& dtable, const Tensor& dy, const Tensor& ids);
// Throws ShapeError, naming `op`, the first id outside [0, vocabulary) and its position.
void check_ids(std::string_view op, std::span<const std::int32_t> ids, std::int64_t vocabulary);

// y (N, 2·half) = [cos(t f_i) | sin(t f_i)], f_i = exp(-ln(max_period) i / half), i = 0 .. half-1
// (Vaswani et al. 2017, in the order the Stable Diffusion U-Net uses: cosines first). t (N) fp32; y an
// activation, computed in double and rounded once.
void timestep_embedding(const Context& c, Tensor& y, const Tensor& t, float max_period = 10000.0F);

}  // namespace rankine
