// Products by cuBLASLt, in builds that have it (RANKINE_WITH_CUBLASLT).
#pragma once

#include "kernels/matmul/gemm_cuda.h"

namespace rankine::cuda {

// The product of gemm_cuda.h; false, and nothing done, where the machine has no cuBLASLt or it no kernel for
// it. Sums are fp32, no reduction through memory, no scratch; several segments are as many products, between
// which C of 16 bit is rounded.
#ifdef RANKINE_WITH_CUBLASLT
bool cublaslt_gemm(CudaStream stream, std::string_view op, const Gemm& g);
// "13.1.0", or why it is not used.
std::string cublaslt_version();
#else
inline std::string cublaslt_version() { return "not in this build"; }
inline bool cublaslt_gemm(CudaStream, std::string_view, const Gemm&) { return false; }
#endif

}  // namespace rankine::cuda
