#include "kernels/matmul/gemm_cuda.cuh"

namespace rankine::cuda {
template void launch_gemm<__half>(const GemmLaunch& l, GemmParams& p);
}
