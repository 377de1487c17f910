// Rotary position embedding (Su et al., RoFormer, 2021): pairs of a head's numbers are rotated by an angle
// that grows with the token's position, so that q·k depends on the distance of two tokens. The frequencies of
// a model come from rope_frequencies.h.
#pragma once

#include "kernels/common/checks.h"
#include "kernels/rope/rope_frequencies.h"  // part of this header

namespace rankine {

// Which numbers of a head are turned, and which of them form a pair. With R rotary_dims, pair i < R/2 is
//   half         (first + i, first + i + R/2)      LLaMA, Mistral, Qwen as Hugging Face stores them
//   interleaved  (first + 2i, first + 2i + 1)      Meta's and GGUF's llama; ChatGLM2/3, GLM-4
// Numbers outside [first, first + R) pass through. Two calls with different `first` give a 2-D embedding
// (ChatGLM-6B).
struct RopeSpec {
  enum Pairing : std::uint8_t { half, interleaved };
  int heads = 1;
  std::int64_t head_dim = 0;
  std::int64_t first = 0;
  std::int64_t rotary_dims = 0;  // R, even
  Pairing pairing = half;
};

// cos_sin (rows, R) = a [cos t_0 .. cos t_{R/2-1} | sin t_0 .. sin t_{R/2-1}] with t_i = positions[row]
// inv_freq[i] and a = attention_factor (1 but for YaRN). positions (rows) i32, inv_freq (R/2). Overwrites
// cos_sin. The angle is one fp32 product, as models are trained with; its cosine and sine are taken in
// double. Throws ShapeError.
void rope_table(const Context& c, Tensor& cos_sin, const Tensor& positions, const Tensor& inv_freq,
                float attention_factor = 1.0F);

// Each pair (u, v) of x becomes (u cos - v sin, v cos + u sin). x, y (..., heads·head_dim) with as many rows
// as cos_sin. y may be the same tensor as x. On CUDA x and y are f16, bf16 or f32, both the same, and turned
// in fp32; cos_sin is fp32 everywhere. Throws ShapeError.
void rope_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& cos_sin, const RopeSpec& spec);
// The adjoint, a rotation by -t: (u cos + v sin, v cos - u sin). dx may be the same tensor as dy.
void rope_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& cos_sin,
                   const RopeSpec& spec);

}  // namespace rankine
