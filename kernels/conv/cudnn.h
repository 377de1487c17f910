// cuDNN behind conv.h, in builds that found its headers and on machines that have the library; see
// https://docs.nvidia.com/deeplearning/cudnn. Own kernels use the tensor-core instructions of sm_80; newer
// cards have faster ones, and cuDNN uses them:
//
//   sm_86, sm_89   own kernels
//   sm_90 and on   cuDNN, when it is loaded, can express the padding, and has a deterministic algorithm that
//   is
//                  content with the plan's scratch; else own kernels
#pragma once

#include "kernels/conv/conv_impl.h"

namespace rankine::cuda {

#ifdef RANKINE_WITH_CUDNN
// Computes the pass, but for the bias, with `w` of a.type; false, with nothing done, where the table says own
// kernels. Throws Error with cuDNN's reason when a call fails.
bool cudnn_convolution(CudaStream stream, ConvPass pass, const CudaConvArgs& a, const void* w);
// "9.19.0", or why it is not used.
std::string cudnn_version();
#else
inline bool cudnn_convolution(CudaStream, ConvPass, const CudaConvArgs&, const void*) { return false; }
inline std::string cudnn_version() { return "not in this build"; }
#endif

}  // namespace rankine::cuda
