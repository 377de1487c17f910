// Where a run computes, and in which type: the keys `device` and `compute_dtype` against what this build and
// this machine have.
#pragma once

#include <memory>
#include <string>

#include "engine/core/context.h"
#include "io/config/run_config.h"

namespace rankine::app {

struct ComputeChoice {
  Device device;
  DType activations = DType::f32;
};

// `auto` is the CPU for now, until the CUDA engine has been proven on a card. On CUDA `compute_dtype: auto`
// is fp16. Throws ConfigError where the build has no CUDA, the machine no such card, or the type is not one
// the device computes in.
ComputeChoice compute_choice(const config::MachineSection& machine);

// The configured budget, or 90 % of what the device has free now.
std::size_t memory_budget(const config::MachineSection& machine);

// The run's device within `budget` bytes, and its forecast. Neither may be moved: Tensors refer to them.
std::unique_ptr<Runtime> make_runtime(const config::MachineSection& machine, std::size_t budget);
std::unique_ptr<Runtime> make_plan_runtime(const config::MachineSection& machine);

}  // namespace rankine::app
