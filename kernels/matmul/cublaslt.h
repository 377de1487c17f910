// Products by cuBLASLt, in builds that have it (RANKINE_WITH_CUBLASLT).
#pragma once

#include "kernels/matmul/gemm_cuda.h"

namespace rankine::cuda {

// The product of gemm_cuda.h; false, and nothing done, where cuBLASLt or the build has no kernel for it. Sums
// are fp32, no reduction through memory, no scratch; several segments are as many products, between which C
// of 16 bit is rounded.
#ifdef RANKINE_WITH_CUBLASLT
bool cublaslt_gemm(CudaStream stream, std::string_view op, const Gemm& g);
#else
inline bool cublaslt_gemm(CudaStream, std::string_view, const Gemm&) { return false; }
#endif

}  // namespace rankine::cuda
