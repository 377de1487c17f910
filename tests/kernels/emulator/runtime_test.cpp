// The host side of the emulated runtime.
#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

namespace rankine {
namespace {

TEST(EmulatorRuntime, OneDevice) {
  int count = 0, device = -1, value = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 0);
  cudaDeviceProp p{};
  ASSERT_EQ(cudaGetDeviceProperties(&p, 0), cudaSuccess);
  EXPECT_STREQ(p.name, "emulated");
  EXPECT_EQ(p.major * 10 + p.minor, 86);
  EXPECT_EQ(p.multiProcessorCount, 4);
  EXPECT_EQ(p.sharedMemPerBlockOptin, 99U * 1024);
  EXPECT_GT(p.totalGlobalMem, 0U);
  ASSERT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess);
  EXPECT_EQ(value, 99 * 1024);
}

TEST(EmulatorRuntime, Memory) {
  void* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, 100), cudaSuccess);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 256, 0U);
  std::vector<unsigned char> host(100, 7), back(100);
  EXPECT_EQ(cudaMemcpy(p, host.data(), 100, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(p, 3, 50), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(back.data(), p, 100, cudaMemcpyDefault), cudaSuccess);
  EXPECT_EQ(back[49], 3);
  EXPECT_EQ(back[50], 7);
  EXPECT_EQ(cudaFreeHost(p), cudaErrorInvalidValue);  // another kind of memory
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_EQ(cudaFree(p), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&p, SIZE_MAX / 2 + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaMalloc(&p, std::size_t{1} << 60), cudaErrorMemoryAllocation);
  EXPECT_EQ(p, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaMallocHost(&p, 10), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(p), cudaSuccess);
  EXPECT_EQ(cudaHostRegister(host.data(), 100, cudaHostRegisterDefault), cudaSuccess);
  EXPECT_EQ(cudaHostRegister(host.data(), 100, cudaHostRegisterDefault),
            cudaErrorHostMemoryAlreadyRegistered);
  EXPECT_EQ(cudaHostUnregister(host.data()), cudaSuccess);
  EXPECT_EQ(cudaHostUnregister(host.data()), cudaErrorHostMemoryNotRegistered);
  cudaGetLastError();
}

TEST(EmulatorRuntime, StreamsAndEvents) {
  cudaStream_t stream = nullptr;
  cudaEvent_t first = nullptr, second = nullptr, untimed = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&first), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&second), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming), cudaSuccess);
  float ms = -1;
  EXPECT_EQ(cudaEventElapsedTime(&ms, first, second), cudaErrorInvalidResourceHandle);  // not recorded
  EXPECT_EQ(cudaEventRecord(first, stream), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(second, stream), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream, second), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(second), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&ms, first, second), cudaSuccess);
  EXPECT_GE(ms, 0);
  EXPECT_EQ(cudaEventRecord(untimed, stream), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&ms, first, untimed), cudaErrorInvalidResourceHandle);
  for (const cudaEvent_t e : {first, second, untimed}) EXPECT_EQ(cudaEventDestroy(e), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  cudaGetLastError();
}

// What a recording cannot have is refused as the runtime refuses it.
class EmulatorGraph : public ::testing::Test {
 protected:
  void SetUp() override {
    for (cudaStream_t* s : {&main_, &side_})
      ASSERT_EQ(cudaStreamCreateWithFlags(s, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&bytes_, 64), cudaSuccess);
  }
  void TearDown() override {
    cudaEventDestroy(event_);
    cudaStreamDestroy(side_);
    cudaStreamDestroy(main_);
    cudaFree(bytes_);
    cudaGetLastError();
  }
  void begin() {
    ASSERT_EQ(cudaStreamBeginCapture(main_, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    fill(main_, 1);
  }
  void fill(cudaStream_t stream, int value) {
    EXPECT_EQ(cudaMemsetAsync(bytes_, value, 64, stream), cudaSuccess);
  }
  cudaError_t end() {
    const cudaError_t status = cudaStreamEndCapture(main_, &graph_);
    if (graph_) cudaGraphDestroy(graph_);
    return status;
  }

  cudaStream_t main_ = nullptr, side_ = nullptr;
  cudaEvent_t event_ = nullptr;
  cudaGraph_t graph_ = nullptr;
  char* bytes_ = nullptr;
};

TEST_F(EmulatorGraph, NothingRunsBeforeItIsLaunched) {
  std::memset(bytes_, 9, 64);
  begin();
  EXPECT_EQ(bytes_[0], 9);
  ASSERT_EQ(cudaStreamEndCapture(main_, &graph_), cudaSuccess);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph_), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
  EXPECT_EQ(bytes_[63], 9);
  EXPECT_EQ(cudaGraphLaunch(exec, main_), cudaSuccess);
  EXPECT_EQ(bytes_[63], 1);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

TEST_F(EmulatorGraph, WaitingSpoilsIt) {
  begin();
  EXPECT_EQ(cudaStreamSynchronize(main_), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end(), cudaErrorStreamCaptureInvalidated);
  begin();
  EXPECT_EQ(cudaEventRecord(event_, main_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event_), cudaErrorCapturedEvent);
  EXPECT_EQ(end(), cudaSuccess);
}

TEST_F(EmulatorGraph, MemoryIsNotMadeMeanwhile) {
  begin();
  void* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 8), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(end(), cudaSuccess);
}

TEST_F(EmulatorGraph, StreamsThatJoinMustComeBack) {
  begin();
  EXPECT_EQ(cudaEventRecord(event_, main_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(side_, event_), cudaSuccess);
  fill(side_, 2);
  EXPECT_EQ(end(), cudaErrorStreamCaptureUnjoined);
  begin();
  EXPECT_EQ(cudaEventRecord(event_, main_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(side_, event_), cudaSuccess);
  fill(side_, 2);
  EXPECT_EQ(cudaEventRecord(event_, side_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(main_, event_), cudaSuccess);
  EXPECT_EQ(end(), cudaSuccess);
}

}  // namespace
}  // namespace rankine
