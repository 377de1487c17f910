// The CUDA runtime's stream handle (cudaStream_t), named without its headers so that doors can pass it on.
#pragma once

struct CUstream_st;

namespace rankine {
using CudaStream = CUstream_st*;
inline constexpr CudaStream kDefaultStream = nullptr;
}  // namespace rankine
