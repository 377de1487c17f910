// Stored weights decoded on CUDA: what a product on tensor cores reads them through, once per use of a layer.
// When to decode, and into which scratch, is the caller's business.
#pragma once

#include <cstdint>

#include "engine/core/cuda_device.h"
#include "engine/core/dtype.h"

namespace rankine::cuda {

// to (out, in) of `to_type` (f16, bf16 or f32; aligned to 16 bytes) = the numbers of w (out, in), any type of
// weight, `in` whole blocks of it. Each is decoded in fp32, with the bits decode_blocks
// (engine/core/block_formats.h) gives for finite values, and rounded once. Throws ShapeError for another type
// or an unaligned `to`. Bytes moved: the stored weight and the result, once.
void decode_weight(CudaStream stream, void* to, DType to_type, const void* w, DType w_type, std::int64_t out,
                   std::int64_t in);

}  // namespace rankine::cuda
