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
  f.architectures = "86-real 89-real 90";
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
  expect_advice(f, "has compute capability 7.5, the kernels need 8.6");
  f.driver.devices.push_back({"RTX 4090", 89, 128, 1, 1});
  EXPECT_TRUE(cuda_report(f).usable) << "one of the two will do";
  f = machine();
  f.emulated = true;
  expect_advice(f, "RANKINE_CUDA=ON");
}

TEST(CudaReport, ADeviceNeedsKernelsForItsArchitecture) {
  CudaFacts f = machine();
  const auto runs = [&](int device, const std::string& built) {
    f.driver.devices[0].architecture = device;
    f.architectures = built;
    return why_unusable(f, 0).empty();
  };
  const std::string usual = "86-real 89-real 90";
  for (const int device : {86, 87, 89, 90, 100, 120}) EXPECT_TRUE(runs(device, usual)) << device;
  for (const int device : {75, 80}) EXPECT_FALSE(runs(device, usual)) << device;
  EXPECT_TRUE(runs(89, "86-real")) << "machine code runs on later minor versions";
  EXPECT_FALSE(runs(90, "86-real 89-real")) << "and not on later major ones";
  EXPECT_FALSE(runs(86, "89-real"));
  EXPECT_TRUE(runs(120, "90-virtual"));
  EXPECT_TRUE(runs(90, "90a-real"));
  EXPECT_FALSE(runs(100, "90a")) << "a letter is for that architecture alone";
  EXPECT_TRUE(runs(75, "native"));
  EXPECT_TRUE(runs(75, "")) << "emulated";
}

TEST(CudaReport, SaysWhichCardLacksKernelsAndWhatTheBuildHas) {
  CudaFacts f = machine();
  f.architectures = "89-real 90-real";
  EXPECT_EQ(
      why_unusable(f, 0),
      "RTX 3090 has compute capability 8.6, this build has kernels for 89-real 90-real: build again with "
      "-DCMAKE_CUDA_ARCHITECTURES=86, or use device: cpu");
  EXPECT_EQ(cuda_report(f).lines.at(2), "cuda:0 cannot be used: " + why_unusable(f, 0));
  f.driver.devices.push_back({"RTX 4090", 89, 128, 1, 1});
  EXPECT_TRUE(why_unusable(f, 1).empty());
  EXPECT_FALSE(why_unusable(f, 0).empty()) << "another card does not help this one";
  EXPECT_THROW((void)why_unusable(f, 2), std::out_of_range);
  f.driver.devices[0] = {"a device that does not answer"};
  EXPECT_EQ(why_unusable(f, 0), "a device that does not answer: use another, or device: cpu");
}

TEST(CudaReport, AnIdleCardIsNamedWithWhatUsesIt) {
  CudaFacts f = machine();
  f.driver.devices.insert(f.driver.devices.begin(), {"Quadro T2000", 75, 16, 1, 1});
  const std::string note = idle_card_note(f);
  EXPECT_NE(note.find("RTX 3090"), std::string::npos) << note;
  EXPECT_NE(note.find("device: cuda:1"), std::string::npos) << note;
  EXPECT_EQ(cuda_report(f).idle, note);
  f.driver.devices.pop_back();
  EXPECT_EQ(idle_card_note(f), "") << "what cannot be used is not idle";
  f = machine();
  f.emulated = true;
  EXPECT_EQ(idle_card_note(f), "");
  f.emulated = f.built = false;
  EXPECT_EQ(idle_card_note(f), "");
  EXPECT_EQ(idle_card_note(without_device()), "");
}

}  // namespace
}  // namespace rankine::app
