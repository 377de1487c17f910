#include "kernels/emulator/include/emulator.h"

#include <cstdlib>
#include <mutex>

#include "engine/core/error.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/graph.h"
#include "kernels/emulator/host_state.h"
#include "kernels/emulator/limits.h"
#include "kernels/emulator/shadow.h"

namespace rankine::emulator {
namespace {

std::uint64_t first_seed() {
  const char* text = std::getenv("RANKINE_EMULATOR_SEED");
  return text ? std::strtoull(text, nullptr, 10) : 1;
}
std::uint64_t& current_seed() {
  static std::uint64_t seed = first_seed();
  return seed;
}

// What the driver would say of the launch.
cudaError_t check(const LaunchInfo& info) {
  const dim3 b = info.block, g = info.grid;
  if (b.x == 0 || b.y == 0 || b.z == 0 || g.x == 0 || g.y == 0 || g.z == 0)
    return cudaErrorInvalidConfiguration;
  if (b.x > limits::kBlockX || b.y > limits::kBlockY || b.z > limits::kBlockZ)
    return cudaErrorInvalidConfiguration;
  if (b.x * b.y * b.z > limits::kThreads) return cudaErrorInvalidConfiguration;
  if (g.x > limits::kGridX || g.y > limits::kGridYZ || g.z > limits::kGridYZ)
    return cudaErrorInvalidConfiguration;
  if (info.shared_bytes > host_state::allowed_shared(info.function)) return cudaErrorInvalidValue;
  return cudaSuccess;
}

class Running {
 public:
  explicit Running(Executor& e) { active = &e; }
  ~Running() {
    active = nullptr;
    in_kernel = false;
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
};

}  // namespace

bool record_launch(const LaunchInfo& info, const std::function<Later()>& later) {
  if (!recording(info.stream)) return false;
  if (const cudaError_t error = check(info); error != cudaSuccess) {
    host_state::set_error(error);
    return true;
  }
  const std::string name = info.kernel;
  LaunchInfo played = info;
  played.stream = nullptr;
  return record(info.stream, name, [played, name, run = later()]() mutable {
    played.kernel = name.c_str();
    run(played);
  });
}

void launch_erased(const LaunchInfo& info, void (*invoke)(void*), void* body) {
  if (active) {
    in_kernel = false;
    active->fail(join(info.kernel, ": launched from inside a kernel"));
  }
  if (const cudaError_t error = check(info); error != cudaSuccess) {
    host_state::set_error(error);
    return;
  }
  static std::mutex one_at_a_time;  // __shared__ variables exist once
  const std::lock_guard lock(one_at_a_time);
  static thread_local Executor executor;
  const Running running(executor);
  try {
    note(info.kernel);
    shadow::begin_launch();
    executor.run(info, invoke, body);
  } catch (const Fault&) {
    host_state::set_error(cudaErrorLaunchFailure);
    throw;
  }
}

void* dynamic_shared() { return Inside("dynamic_shared")->shared(); }

Index thread_index() { return Inside("threadIdx")->self().index; }
Index block_index() { return Inside("blockIdx")->block_index(); }
Index block_extent() {
  const dim3 d = Inside("blockDim")->info().block;
  return {d.x, d.y, d.z};
}
Index grid_extent() {
  const dim3 d = Inside("gridDim")->info().grid;
  return {d.x, d.y, d.z};
}

void set_seed(std::uint64_t seed) { current_seed() = seed; }
std::uint64_t seed() { return current_seed(); }

}  // namespace rankine::emulator
