#include "kernels/matmul/gemm_cuda.cuh"

namespace rankine::cuda {
template void launch_gemm<__nv_bfloat16>(const GemmLaunch& l, GemmParams& p);
}
