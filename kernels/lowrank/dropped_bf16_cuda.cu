#include "kernels/lowrank/dropped_cuda.cuh"

namespace rankine::cuda {
template void launch_dropped<__nv_bfloat16>(Dropped what, const GemmLaunch& l, GemmParams& p,
                                            const SampleMask& mask);
}
