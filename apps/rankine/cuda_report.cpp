#include "apps/rankine/cuda_report.h"

#include <fmt/core.h>

#include <charconv>
#include <fstream>
#include <optional>
#include <sstream>

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

// Machine code ("86-real") runs on its own architecture and on later ones of the same major version, PTX
// ("90-virtual", and "90" beside machine code) on all from its own on; what has a letter ("90a") on its own
// alone.
bool runs_on(std::string_view target, int device) {
  int built = 0;
  const auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), built);
  if (error != std::errc{}) return true;  // "native", "all": nvcc alone knows
  const std::string_view rest = target.substr(static_cast<std::size_t>(end - target.data()));
  if (!rest.empty() && rest.front() != '-') return device == built;
  if (device < built) return false;
  return rest != "-real" || device / 10 == built / 10;
}

bool has_kernels_for(const CudaFacts& f, int device) {
  std::istringstream targets(f.architectures);
  bool any = f.architectures.empty();
  for (std::string target; targets >> target;) any |= runs_on(target, device);
  return any;
}

std::optional<std::size_t> first_usable(const CudaFacts& f) {
  if (!f.built || f.emulated) return std::nullopt;
  for (std::size_t i = 0; i < f.driver.devices.size(); ++i) {
    if (why_unusable(f, i).empty()) return i;
  }
  return std::nullopt;
}

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
  return first_usable(f) ? "" : why_unusable(f, 0);
}

}  // namespace

std::string cuda_version(int version) {
  return version == 0 ? "none" : fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

CudaFacts cuda_devices() {
  CudaFacts f;
  f.built = build::cuda;
  f.emulated = build::emulated;
  f.architectures = RANKINE_CUDA_ARCHITECTURES;
  if constexpr (build::cuda) f.driver = cuda::list_devices();
  return f;
}

CudaFacts cuda_facts() {
  CudaFacts f = cuda_devices();
  f.driver_loaded = fs::exists("/dev/nvidiactl");
  f.card_on_bus = nvidia_card_on_bus();
  if constexpr (build::cuda) {
    f.driver = cuda::describe();
    f.cublaslt = cublaslt_state();
    f.cudnn = cudnn_state();
  }
  return f;
}

std::string why_unusable(const CudaFacts& f, std::size_t index) {
  const cuda::DeviceFacts& d = f.driver.devices.at(index);
  if (d.architecture == 0) return d.name + ": use another, or device: cpu";
  if (has_kernels_for(f, d.architecture)) return "";
  const std::string what = fmt::format("{} has compute capability {}", d.name, architecture(d.architecture));
  if (d.architecture < cuda::kOldestArchitecture)
    return fmt::format("{}, the kernels need {} (RTX 30 series) or later: use device: cpu", what,
                       architecture(cuda::kOldestArchitecture));
  return fmt::format(
      "{}, this build has kernels for {}: build again with -DCMAKE_CUDA_ARCHITECTURES={}, or use "
      "device: cpu",
      what, f.architectures, d.architecture);
}

std::string idle_card_note(const CudaFacts& f) {
  const std::optional<std::size_t> card = first_usable(f);
  if (!card) return "";
  return fmt::format(
      "device: auto is the CPU until a card has passed this project's tests; {0} could be used: "
      "write device: cuda:{1} for it",
      f.driver.devices[*card].name, *card);
}

CudaReport cuda_report(const CudaFacts& f) {
  CudaReport r;
  r.advice = advice_of(f);
  r.usable = r.advice.empty();
  r.idle = idle_card_note(f);
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
    if (const std::string why = why_unusable(f, i); !why.empty())
      r.lines.push_back(fmt::format("cuda:{} cannot be used: {}", i, why));
  }
  r.lines.push_back(fmt::format("cuBLASLt {}; cuDNN {} (both optional)", f.cublaslt, f.cudnn));
  return r;
}

}  // namespace rankine::app
