#include "kernels/conv/cudnn.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <array>
#include <map>
#include <mutex>
#include <optional>

#include "kernels/common/vendor_library.h"

namespace rankine::cuda {
namespace {

struct Api : VendorLibrary {
  Api() : VendorLibrary(join("libcudnn.so.", CUDNN_MAJOR)) {}
  RANKINE_VENDOR_FUNCTION(cudnnGetVersion)
  RANKINE_VENDOR_FUNCTION(cudnnGetErrorString)
  RANKINE_VENDOR_FUNCTION(cudnnCreate)
  RANKINE_VENDOR_FUNCTION(cudnnSetStream)
  RANKINE_VENDOR_FUNCTION(cudnnCreateTensorDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnDestroyTensorDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnSetTensor4dDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnCreateFilterDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnDestroyFilterDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnSetFilter4dDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnCreateConvolutionDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnDestroyConvolutionDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnSetConvolution2dDescriptor)
  RANKINE_VENDOR_FUNCTION(cudnnSetConvolutionMathType)
  RANKINE_VENDOR_FUNCTION(cudnnGetConvolutionForwardAlgorithm_v7)
  RANKINE_VENDOR_FUNCTION(cudnnGetConvolutionBackwardDataAlgorithm_v7)
  RANKINE_VENDOR_FUNCTION(cudnnConvolutionForward)
  RANKINE_VENDOR_FUNCTION(cudnnConvolutionBackwardData)
};
const Api& api() {
  static const Api loaded;
  return loaded;
}

void check(std::string_view what, cudnnStatus_t status) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw Error(join("cuDNN: ", what, ": ", api().cudnnGetErrorString(status)));
}

// A descriptor of cuDNN, destroyed with its owner.
template <class T>
class Descriptor {
 public:
  using Create = cudnnStatus_t (*)(T*);
  using Destroy = cudnnStatus_t (*)(T);
  Descriptor(Create create, Destroy destroy) : destroy_(destroy) {
    check("create a descriptor", create(&value_));
  }
  ~Descriptor() { destroy_(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  T get() const { return value_; }

 private:
  T value_{};
  Destroy destroy_;
};

// The call in cuDNN's words: maps and filter channels-last, sums in fp32 on tensor cores.
struct Problem {
  Descriptor<cudnnTensorDescriptor_t> x{api().cudnnCreateTensorDescriptor,
                                        api().cudnnDestroyTensorDescriptor};
  Descriptor<cudnnTensorDescriptor_t> y{api().cudnnCreateTensorDescriptor,
                                        api().cudnnDestroyTensorDescriptor};
  Descriptor<cudnnFilterDescriptor_t> w{api().cudnnCreateFilterDescriptor,
                                        api().cudnnDestroyFilterDescriptor};
  Descriptor<cudnnConvolutionDescriptor_t> conv{api().cudnnCreateConvolutionDescriptor,
                                                api().cudnnDestroyConvolutionDescriptor};

  Problem(const ConvSizes& s, DType dtype) {
    const cudnnDataType_t type = dtype == DType::f16 ? CUDNN_DATA_HALF : CUDNN_DATA_BFLOAT16;
    const auto narrow = [](std::int64_t n) { return static_cast<int>(n); };
    check("x", api().cudnnSetTensor4dDescriptor(x.get(), CUDNN_TENSOR_NHWC, type, narrow(s.images),
                                                narrow(s.in), narrow(s.height), narrow(s.width)));
    check("y", api().cudnnSetTensor4dDescriptor(y.get(), CUDNN_TENSOR_NHWC, type, narrow(s.images),
                                                narrow(s.out), narrow(s.out_height), narrow(s.out_width)));
    const int size = s.window.size, stride = s.window.stride, pad = s.window.pad_before;
    check("w", api().cudnnSetFilter4dDescriptor(w.get(), type, CUDNN_TENSOR_NHWC, narrow(s.out), narrow(s.in),
                                                size, size));
    check("window", api().cudnnSetConvolution2dDescriptor(conv.get(), pad, pad, stride, stride, 1, 1,
                                                          CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    check("math", api().cudnnSetConvolutionMathType(conv.get(), CUDNN_TENSOR_OP_MATH));
  }
};

// The fastest, by cuDNN's own order, of the deterministic algorithms that fit `scratch_bytes`.
template <class Perf>
std::optional<int> best_of(const Perf* found, int count, std::size_t scratch_bytes) {
  for (int i = 0; i < count; ++i) {
    if (found[i].status == CUDNN_STATUS_SUCCESS && found[i].determinism == CUDNN_DETERMINISTIC &&
        found[i].memory <= scratch_bytes) {
      return static_cast<int>(found[i].algo);
    }
  }
  return std::nullopt;
}
std::optional<int> choose(cudnnHandle_t handle, ConvPass pass, const Problem& p, std::size_t scratch_bytes) {
  constexpr int kMost = 16;
  int count = 0;
  if (pass == ConvPass::forward) {
    cudnnConvolutionFwdAlgoPerf_t found[kMost];
    check("choose an algorithm",
          api().cudnnGetConvolutionForwardAlgorithm_v7(handle, p.x.get(), p.w.get(), p.conv.get(), p.y.get(),
                                                       kMost, &count, found));
    return best_of(found, count, scratch_bytes);
  }
  cudnnConvolutionBwdDataAlgoPerf_t found[kMost];
  check("choose an algorithm",
        api().cudnnGetConvolutionBackwardDataAlgorithm_v7(handle, p.w.get(), p.y.get(), p.conv.get(),
                                                          p.x.get(), kMost, &count, found));
  return best_of(found, count, scratch_bytes);
}

// cuDNN's state of one device, and the algorithms chosen so far.
struct DeviceState {
  cudnnHandle_t handle = nullptr;
  bool wanted = false;
  std::map<std::array<std::int64_t, 13>, std::optional<int>> chosen;
};

DeviceState open_device(int device) {
  constexpr int kFirstMajor = 9;  // the table in cudnn.h
  DeviceState state;
  int major = 0;
  if (!api().complete() ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess) {
    return state;
  }
  state.wanted = major >= kFirstMajor && api().cudnnCreate(&state.handle) == CUDNN_STATUS_SUCCESS;
  return state;
}

// Whether padding before and after, which may differ, comes to the same as cuDNN's one number.
bool even_padding(const ConvSizes& s) {
  Window even = s.window;
  even.pad_after = even.pad_before;
  return even.out(s.height) == s.out_height && even.out(s.width) == s.out_width;
}

}  // namespace

bool cudnn_convolution(CudaStream stream, ConvPass pass, const CudaConvArgs& a, const void* w) {
  static std::mutex mutex;
  static std::map<int, DeviceState> devices;
  int device = 0;
  if (!even_padding(a.sizes) || cudaGetDevice(&device) != cudaSuccess) return false;
  const std::lock_guard lock(mutex);
  if (!devices.contains(device)) devices.emplace(device, open_device(device));
  DeviceState& state = devices.at(device);
  if (!state.wanted) return false;
  const ConvSizes& s = a.sizes;
  const Problem p(s, a.type);
  check("stream", api().cudnnSetStream(state.handle, stream));
  const std::size_t scratch_bytes = sizeof(float) * static_cast<std::size_t>(a.plan.partial_floats);
  const std::array<std::int64_t, 13> key{static_cast<int>(pass),
                                         static_cast<int>(a.type),
                                         s.images,
                                         s.height,
                                         s.width,
                                         s.in,
                                         s.out_height,
                                         s.out_width,
                                         s.out,
                                         s.window.size,
                                         s.window.stride,
                                         s.window.pad_before,
                                         a.plan.partial_floats};
  if (!state.chosen.contains(key)) state.chosen.emplace(key, choose(state.handle, pass, p, scratch_bytes));
  const std::optional<int> algorithm = state.chosen.at(key);
  if (!algorithm) return false;
  const float one = 1, beta = a.accumulate ? 1 : 0;
  void* scratch = a.scratch + a.plan.filter_floats;
  if (pass == ConvPass::forward) {
    check("forward",
          api().cudnnConvolutionForward(state.handle, &one, p.x.get(), a.from, p.w.get(), w, p.conv.get(),
                                        static_cast<cudnnConvolutionFwdAlgo_t>(*algorithm), scratch,
                                        scratch_bytes, &beta, p.y.get(), a.to));
  } else {
    check("adjoint", api().cudnnConvolutionBackwardData(
                         state.handle, &one, p.w.get(), w, p.y.get(), a.from, p.conv.get(),
                         static_cast<cudnnConvolutionBwdDataAlgo_t>(*algorithm), scratch, scratch_bytes,
                         &beta, p.x.get(), a.to));
  }
  return true;
}

std::string cudnn_version() {
  return api().state([] { return api().cudnnGetVersion(); });
}

}  // namespace rankine::cuda
