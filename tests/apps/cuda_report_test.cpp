#include "apps/rankine/cuda_report.h"

#include <gtest/gtest.h>

namespace rankine::app {
namespace {

CudaFacts machine() {
  CudaFacts f;
  f.built = f.driver_loaded = f.card_on_bus = true;
  f.driver.driver = f.driver.runtime = 13000;
  f.driver.devices = {{"RTX 3090", 86, 82, std::size_t{24} << 30, std::size_t{23} << 30}};
  f.cublaslt = "13.0.0";
  f.cudnn = "libcudnn.so.9 is not installed";
  return f;
}
CudaFacts without_device() {
  CudaFacts f = machine();
  f.driver.devices.clear();
  f.driver.problem = "no CUDA-capable device is detected";
  return f;
}
void expect_advice(const CudaFacts& facts, const std::string& part) {
  const CudaReport r = cuda_report(facts);
  EXPECT_FALSE(r.usable);
  EXPECT_NE(r.advice.find(part), std::string::npos) << r.advice;
}

TEST(CudaReport, ACardThatWorksNeedsNoAdvice) {
  const CudaReport r = cuda_report(machine());
  EXPECT_TRUE(r.usable);
  ASSERT_EQ(r.lines.size(), 3U);
  EXPECT_EQ(r.lines[0], "runtime 13.0, driver 13.0");
  EXPECT_EQ(r.lines[1],
            "cuda:0 RTX 3090, compute capability 8.6, 82 multiprocessors, 24.0 GiB, 23.0 GiB free");
  EXPECT_EQ(r.lines[2], "cuBLASLt 13.0.0; cuDNN libcudnn.so.9 is not installed (both optional)");
}

TEST(CudaReport, SaysWhyAndWhatToDo) {
  CudaFacts f = machine();
  f.built = false;
  expect_advice(f, "build again");
  f = without_device();
  f.driver.driver = 12040;
  expect_advice(f, "can do CUDA 12.4, this build needs 13.0: install a newer");
  f = without_device();
  expect_advice(f, "CUDA_VISIBLE_DEVICES");
  f.driver.driver = 0;
  f.driver_loaded = false;
  expect_advice(f, "without its driver: install one for CUDA 13.0");
  f.card_on_bus = false;
  expect_advice(f, "no NVIDIA card was found");
  f = machine();
  f.driver.devices[0].architecture = 75;
  expect_advice(f, "compute capability 8.6");
  f.driver.devices.push_back({"RTX 4090", 89, 128, 1, 1});
  EXPECT_TRUE(cuda_report(f).usable) << "one of the two will do";
  f = machine();
  f.emulated = true;
  expect_advice(f, "RANKINE_CUDA=ON");
}

}  // namespace
}  // namespace rankine::app
