#include "apps/rankine/cuda_report.h"

#include <fmt/core.h>

#include <fstream>

#include "engine/core/memory.h"
#include "kernels/conv/conv.h"
#include "kernels/matmul/matmul.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

// Linux lists what is on the PCI bus by vendor and class; NVIDIA is 0x10de, display controllers are 0x03....
bool nvidia_card_on_bus() {
  std::error_code error;
  for (const fs::directory_entry& device : fs::directory_iterator("/sys/bus/pci/devices", error)) {
    std::string vendor, kind;
    std::ifstream(device.path() / "vendor") >> vendor;
    std::ifstream(device.path() / "class") >> kind;
    if (vendor == "0x10de" && kind.starts_with("0x03")) return true;
  }
  return false;
}

std::string architecture(int number) { return fmt::format("{}.{}", number / 10, number % 10); }

std::string advice_of(const CudaFacts& f) {
  const std::string needed = cuda_version(f.driver.runtime);
  if (!f.built)
    return "this build has no CUDA: install the CUDA toolkit (nvcc) and build again, or use device: cpu";
  if (f.emulated) return "CUDA is emulated on the CPU in this build, for tests; build with RANKINE_CUDA=ON";
  if (f.driver.devices.empty()) {
    if (f.driver.driver != 0 && f.driver.driver < f.driver.runtime)
      return fmt::format("the driver can do CUDA {}, this build needs {}: install a newer NVIDIA driver",
                         cuda_version(f.driver.driver), needed);
    if (f.driver_loaded)
      return "the NVIDIA driver is loaded and offers no device: is it hidden (CUDA_VISIBLE_DEVICES), in use "
             "by another container, or in need of a reboot after an update? nvidia-smi says more";
    return f.card_on_bus
               ? fmt::format("an NVIDIA card is there without its driver: install one for CUDA {} or later",
                             needed)
               : "no NVIDIA card was found: use device: cpu";
  }
  for (const cuda::DeviceFacts& d : f.driver.devices) {
    if (d.architecture >= cuda::kOldestArchitecture) return "";
  }
  return fmt::format("the kernels need compute capability {} (RTX 30 series) or later: use device: cpu",
                     architecture(cuda::kOldestArchitecture));
}

}  // namespace

std::string cuda_version(int version) {
  return version == 0 ? "none" : fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

CudaFacts cuda_facts() {
  CudaFacts f;
  f.built = build::cuda;
  f.emulated = build::emulated;
  f.driver_loaded = fs::exists("/dev/nvidiactl");
  f.card_on_bus = nvidia_card_on_bus();
  if constexpr (build::cuda) {
    f.driver = cuda::describe();
    f.cublaslt = cublaslt_state();
    f.cudnn = cudnn_state();
  }
  return f;
}

CudaReport cuda_report(const CudaFacts& f) {
  CudaReport r;
  r.advice = advice_of(f);
  r.usable = r.advice.empty();
  if (!f.built) {
    r.lines.emplace_back("not in this build");
    return r;
  }
  r.lines.push_back(fmt::format("runtime {}, driver {}{}", cuda_version(f.driver.runtime),
                                cuda_version(f.driver.driver), f.emulated ? ", emulated" : ""));
  if (!f.driver.problem.empty()) r.lines.push_back("the runtime says: " + f.driver.problem);
  for (std::size_t i = 0; i < f.driver.devices.size(); ++i) {
    const cuda::DeviceFacts& d = f.driver.devices[i];
    r.lines.push_back(fmt::format("cuda:{} {}, compute capability {}, {} multiprocessors, {}, {} free", i,
                                  d.name, architecture(d.architecture), d.multiprocessors,
                                  human_bytes(static_cast<double>(d.total)),
                                  human_bytes(static_cast<double>(d.free))));
    if (d.architecture < cuda::kOldestArchitecture)
      r.lines.push_back(fmt::format("cuda:{} is too old for the kernels", i));
  }
  r.lines.push_back(fmt::format("cuBLASLt {}; cuDNN {} (both optional)", f.cublaslt, f.cudnn));
  return r;
}

}  // namespace rankine::app
