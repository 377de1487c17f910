// Where tensors live and kernels run. A *plan* device is a device of the same kind on which allocations are
// only counted and kernels only account their cost: it yields the exact peak and FLOPs of a step without
// running it.
#pragma once

#include <cstdint>
#include <string>

struct CUstream_st;

namespace rankine {

using CudaStream = CUstream_st*;  // cudaStream_t, named without CUDA's headers

// True in a build that contains the CUDA kernels.
namespace build {
#ifdef RANKINE_WITH_CUDA
inline constexpr bool cuda = true;
#else
inline constexpr bool cuda = false;
#endif
// Its CUDA is kernels/emulator: for tests.
#ifdef RANKINE_EMULATED
inline constexpr bool emulated = true;
#else
inline constexpr bool emulated = false;
#endif
}  // namespace build

enum class DeviceKind : std::uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  bool plan = false;

  static constexpr Device cpu() { return {}; }
  static constexpr Device cuda(int index) { return {DeviceKind::cuda, index, false}; }
  constexpr Device planned() const { return {kind, index, true}; }
  constexpr bool is_cuda() const { return kind == DeviceKind::cuda; }
  friend constexpr bool operator==(const Device&, const Device&) = default;

  std::string to_string() const {
    const std::string name = kind == DeviceKind::cpu ? "cpu" : "cuda:" + std::to_string(index);
    return plan ? "plan(" + name + ")" : name;
  }
};

}  // namespace rankine
