// Devices, errors and attributes of cuda_runtime_api.h.
#include <cstring>
#include <map>
#include <mutex>

#include "kernels/emulator/graph.h"
#include "kernels/emulator/host_state.h"
#include "kernels/emulator/limits.h"

namespace {

using rankine::emulator::host_state::set_error;
namespace limits = rankine::emulator::limits;

thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) set_error(error);
  return error;
}

std::mutex& guard() {
  static std::mutex mutex;
  return mutex;
}
std::map<const void*, std::size_t>& granted() {
  static std::map<const void*, std::size_t> bytes;
  return bytes;
}

constexpr int kProcessors = 4, kMajor = 8, kMinor = 6, kL2Bytes = 1 << 20, kThreadsPerProcessor = 1536;

}  // namespace

namespace rankine::emulator::host_state {

void set_error(cudaError_t error) { last_error = error; }

std::size_t allowed_shared(const void* kernel) {
  if (!kernel) return limits::kSharedOptIn;
  const std::lock_guard lock(guard());
  const auto found = granted().find(kernel);
  return found == granted().end() ? limits::kShared : found->second;
}

}  // namespace rankine::emulator::host_state

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) { return result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice); }
cudaError_t cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return result(rankine::emulator::anybody_records() ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  *p = {};
  std::strcpy(p->name, "emulated");
  std::size_t available = 0;
  cudaMemGetInfo(&available, &p->totalGlobalMem);
  p->sharedMemPerBlock = limits::kShared;
  p->sharedMemPerBlockOptin = limits::kSharedOptIn;
  p->sharedMemPerMultiprocessor = limits::kSharedPerProcessor;
  p->warpSize = 32;
  p->maxThreadsPerBlock = limits::kThreads;
  p->maxThreadsPerMultiProcessor = kThreadsPerProcessor;
  const int block[] = {limits::kBlockX, limits::kBlockY, limits::kBlockZ};
  const int grid[] = {limits::kGridX, limits::kGridYZ, limits::kGridYZ};
  std::memcpy(p->maxThreadsDim, block, sizeof(block));
  std::memcpy(p->maxGridSize, grid, sizeof(grid));
  p->major = kMajor;
  p->minor = kMinor;
  p->multiProcessorCount = kProcessors;
  p->l2CacheSize = kL2Bytes;
  p->memoryBusWidth = 64;
  p->regsPerBlock = 65536;
  p->totalConstMem = 65536;
  p->integrated = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (device != 0) return result(cudaErrorInvalidDevice);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = limits::kThreads;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = limits::kShared;
      return cudaSuccess;
    case cudaDevAttrWarpSize:
      *value = 32;
      return cudaSuccess;
    case cudaDevAttrClockRate:
    case cudaDevAttrMemoryClockRate:
      *value = 1000000;
      return cudaSuccess;  // kHz
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = 64;
      return cudaSuccess;
    case cudaDevAttrMultiProcessorCount:
      *value = kProcessors;
      return cudaSuccess;
    case cudaDevAttrL2CacheSize:
      *value = kL2Bytes;
      return cudaSuccess;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = kThreadsPerProcessor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMajor:
      *value = kMajor;
      return cudaSuccess;
    case cudaDevAttrComputeCapabilityMinor:
      *value = kMinor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = limits::kSharedPerProcessor;
      return cudaSuccess;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = limits::kSharedOptIn;
      return cudaSuccess;
  }
  return result(cudaErrorInvalidValue);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() { return last_error; }

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevicePointer:
      return "cudaErrorInvalidDevicePointer";
    case cudaErrorInvalidMemcpyDirection:
      return "cudaErrorInvalidMemcpyDirection";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady:
      return "cudaErrorNotReady";
    case cudaErrorIllegalAddress:
      return "cudaErrorIllegalAddress";
    case cudaErrorHostMemoryAlreadyRegistered:
      return "cudaErrorHostMemoryAlreadyRegistered";
    case cudaErrorHostMemoryNotRegistered:
      return "cudaErrorHostMemoryNotRegistered";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureMerge:
      return "cudaErrorStreamCaptureMerge";
    case cudaErrorStreamCaptureUnjoined:
      return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
      return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
      return "cudaErrorCapturedEvent";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    case cudaErrorStreamCaptureInvalidated:
      return "operation failed due to a previous error during capture";
    default:
      return cudaGetErrorName(error);
  }
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (!kernel || value < 0 || static_cast<std::size_t>(value) > limits::kSharedOptIn)
    return result(cudaErrorInvalidValue);
  const std::lock_guard lock(guard());
  granted()[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}
