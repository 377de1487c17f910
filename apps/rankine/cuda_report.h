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
  std::string idle;                // idle_card_note
  bool usable = false;
};

// The machine's part is given, so that a report can be made of a machine that is not this one.
struct CudaFacts {
  bool built = false, emulated = false;
  bool driver_loaded = false;  // the kernel module: /dev/nvidiactl
  bool card_on_bus = false;    // a display controller of NVIDIA
  cuda::DriverFacts driver;
  std::string cublaslt, cudnn;
  // What this build's kernels are compiled for, as CMAKE_CUDA_ARCHITECTURES has it: "86-real 89-real 90".
  // Empty: they run on every device (emulated).
  std::string architectures;
};
CudaFacts cuda_facts();
CudaFacts cuda_devices();  // the build's part and the driver's alone: opens no device, loads no library
CudaReport cuda_report(const CudaFacts& facts);

// Why this build's kernels do not run on device `index`, and what to do; empty where they do. The rule that
// `doctor` reports by and `device:` is checked against.
std::string why_unusable(const CudaFacts& facts, std::size_t index);

// What to tell a run that `device: auto` keeps on the CPU though a card could be used; else empty.
std::string idle_card_note(const CudaFacts& facts);

// "13.0" of 13000; "none" of 0.
std::string cuda_version(int version);

}  // namespace rankine::app
