// Quantised blocks as they lie in files: one struct per type, with its decoder and, where we write the type,
// its encoder. Scalar code: the meaning that kernels are compared with, and what file readers use.
//
// q4_0 ... q8_0, iq4_nl and the K types are those of GGUF and ggjt v3 (ggml). h is IEEE half, little-endian.
// nf4 is NormalFloat4 (Dettmers et al., QLoRA, 2023), with the first number of a byte in its high half:
//   nf4     codes[32], f32 absmax:            y = table[code] absmax
//   nf4_dq  codes[128], u8 scale[4], f32 nested, f32 offset:  y = table[code] (map[scale] nested + offset),
//           four blocks of 64; `nested` and `offset` repeat for 16384 numbers, so that rows stand alone
#pragma once

#include <cstddef>
#include <span>

#include "engine/core/dtype.h"

namespace rankine {

// Decodes out.size() numbers (whole blocks) from `blocks`. Throws ShapeError for a part of a block.
void decode_blocks(DType type, const std::byte* blocks, std::span<float> out);

// Rounds numbers (whole blocks) to `type` as ggml's reference does, NF4 as bitsandbytes. Types: q4_0, q4_1,
// q5_0, q5_1, q8_0, nf4, nf4_dq; throws ShapeError for the others. For nf4_dq `values` are a whole tensor:
// its `offset` is the mean of all absmax. Numbers that are not finite give some code, never an error.
bool can_encode(DType type);
void encode_blocks(DType type, std::span<const float> values, std::byte* blocks);

}  // namespace rankine
