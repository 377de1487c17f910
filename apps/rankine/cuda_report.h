// What `doctor` says of CUDA: what is there, why a card is not used, and what to do.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "engine/core/cuda_device.h"

namespace rankine::app {

struct CudaReport {
  std::vector<std::string> lines;  // facts, one a line: build, driver, devices, libraries
  std::string advice;              // empty where a card can be used
  bool usable = false;
};

// The machine's part is given, so that a report can be made of a machine that is not this one.
struct CudaFacts {
  bool built = false, emulated = false;
  bool driver_loaded = false;  // the kernel module: /dev/nvidiactl
  bool card_on_bus = false;    // a display controller of NVIDIA
  cuda::DriverFacts driver;
  std::string cublaslt, cudnn;
};
CudaFacts cuda_facts();
CudaReport cuda_report(const CudaFacts& facts);

// "13.0" of 13000; "none" of 0.
std::string cuda_version(int version);

}  // namespace rankine::app
