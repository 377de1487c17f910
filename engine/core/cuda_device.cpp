#include "engine/core/cuda_device.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "engine/core/error.h"

namespace rankine::cuda {
namespace {

void check(cudaError_t status, std::string_view what) {
  require<Error>(status == cudaSuccess, what, ": CUDA says: ", cudaGetErrorString(status));
}

class DeviceBacking final : public Backing {
 public:
  DeviceBacking(Device device, std::size_t capacity) : device_(device), capacity_(capacity) {
    check(cudaSetDevice(device.index), device.to_string());
    void* p = nullptr;
    const cudaError_t status = cudaMalloc(&p, capacity);
    require<OutOfMemory>(status == cudaSuccess, "cannot reserve ", human_bytes(double(capacity)), " on ",
                         device.to_string(), ": ", cudaGetErrorString(status));
    base_ = static_cast<std::byte*>(p);
  }
  ~DeviceBacking() override { cudaFree(base_); }
  std::byte* base() const override { return base_; }
  std::size_t capacity() const override { return capacity_; }

 private:
  Device device_;
  std::byte* base_ = nullptr;
  std::size_t capacity_;
};

}  // namespace

std::size_t free_memory(Device device) {
  check(cudaSetDevice(device.index), device.to_string());
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "free memory");
  return free;
}

std::unique_ptr<Backing> make_backing(Device device, std::size_t capacity) {
  return std::make_unique<DeviceBacking>(device, std::min(capacity, free_memory(device) / 10 * 9));
}

std::shared_ptr<CUstream_st> make_stream(Device device) {
  check(cudaSetDevice(device.index), device.to_string());
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return {stream, [](cudaStream_t s) { cudaStreamDestroy(s); }};
}

void copy_bytes(CudaStream stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copy");
}

void synchronize(CudaStream stream) { check(cudaStreamSynchronize(stream), "synchronize"); }

void call_on_host(CudaStream stream, const std::function<void()>& work) {
  const auto call = [](void* data) { (*static_cast<const std::function<void()>*>(data))(); };
  check(cudaLaunchHostFunc(stream, call, const_cast<std::function<void()>*>(&work)),
        "call on the host");  // NOLINT
}

namespace {

CudaEvent record_event(CudaStream stream, unsigned flags) {
  cudaEvent_t made = nullptr;
  check(cudaEventCreateWithFlags(&made, flags), "event");
  CudaEvent event(made, [](cudaEvent_t e) { cudaEventDestroy(e); });
  check(cudaEventRecord(made, stream), "record an event");
  return event;
}

}  // namespace

CudaEvent record_event(CudaStream stream) { return record_event(stream, cudaEventDisableTiming); }
CudaEvent record_timed_event(CudaStream stream) { return record_event(stream, cudaEventDefault); }

double seconds_between(const CudaEvent& from, const CudaEvent& to) {
  synchronize(to);
  float milliseconds = 0;
  check(cudaEventElapsedTime(&milliseconds, from.get(), to.get()), "time between events");
  return 1e-3 * static_cast<double>(milliseconds);
}

void wait_for(CudaStream stream, const CudaEvent& event) {
  check(cudaStreamWaitEvent(stream, event.get(), 0), "wait for an event");
}

bool reached(const CudaEvent& event) {
  const cudaError_t status = cudaEventQuery(event.get());
  if (status == cudaErrorNotReady) return false;
  check(status, "event");
  return true;
}

void synchronize(const CudaEvent& event) { check(cudaEventSynchronize(event.get()), "synchronize"); }

std::shared_ptr<std::byte> pinned_bytes(std::size_t bytes) {
  void* p = nullptr;
  check(cudaMallocHost(&p, bytes), "page-locked memory");
  return {static_cast<std::byte*>(p), [](std::byte* mine) { cudaFreeHost(mine); }};
}

namespace {

// From begin to end of a recording, so that one that fails leaves no stream in recording mode.
class Recording {
 public:
  explicit Recording(CudaStream stream) : stream_(stream) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "begin a recording");
  }
  ~Recording() {
    cudaGraph_t left = nullptr;
    if (stream_ && cudaStreamEndCapture(stream_, &left) == cudaSuccess && left) cudaGraphDestroy(left);
    if (stream_) cudaGetLastError();  // of a recording that has failed already
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  std::shared_ptr<CUgraph_st> end() {
    cudaGraph_t graph = nullptr;
    check(cudaStreamEndCapture(std::exchange(stream_, nullptr), &graph), "end a recording");
    return {graph, [](cudaGraph_t g) { cudaGraphDestroy(g); }};
  }

 private:
  CudaStream stream_;
};

}  // namespace

std::shared_ptr<CUgraphExec_st> record_graph(CudaStream stream, const std::function<void()>& work) {
  Recording recording(stream);
  work();
  const std::shared_ptr<CUgraph_st> graph = recording.end();
  cudaGraphExec_t exec = nullptr;
  check(cudaGraphInstantiate(&exec, graph.get(), 0), "make a graph");
  return {exec, [](cudaGraphExec_t e) { cudaGraphExecDestroy(e); }};
}

bool recording(CudaStream stream) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check(cudaStreamIsCapturing(stream, &status), "stream");
  return status != cudaStreamCaptureStatusNone;
}

void launch_graph(const std::shared_ptr<CUgraphExec_st>& graph, CudaStream stream) {
  check(cudaGraphLaunch(graph.get(), stream), "launch a graph");
}

DriverFacts list_devices() {
  DriverFacts facts;
  cudaDriverGetVersion(&facts.driver);
  cudaRuntimeGetVersion(&facts.runtime);
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status != cudaSuccess) facts.problem = cudaGetErrorString(status);
  if (status == cudaSuccess && count == 0) facts.problem = "no device";
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp p{};
    if (cudaGetDeviceProperties(&p, i) == cudaSuccess)
      facts.devices.push_back({p.name, p.major * 10 + p.minor, p.multiProcessorCount, p.totalGlobalMem, 0});
    else
      facts.devices.push_back({"a device that does not answer"});  // so that the others keep their numbers
  }
  cudaGetLastError();  // what did not work is in the facts
  return facts;
}

DriverFacts describe() {
  DriverFacts facts = list_devices();
  for (std::size_t i = 0; i < facts.devices.size(); ++i) {
    DeviceFacts& device = facts.devices[i];
    std::size_t total = 0;
    if (cudaSetDevice(static_cast<int>(i)) != cudaSuccess ||
        cudaMemGetInfo(&device.free, &total) != cudaSuccess)
      device.free = 0;
  }
  cudaGetLastError();
  return facts;
}

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace rankine::cuda
