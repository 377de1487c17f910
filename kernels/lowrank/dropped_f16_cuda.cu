#include "kernels/lowrank/dropped_cuda.cuh"

namespace rankine::cuda {
template void launch_dropped<__half>(Dropped what, const GemmLaunch& l, GemmParams& p,
                                     const SampleMask& mask);
}
