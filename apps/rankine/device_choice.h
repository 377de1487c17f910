// Where a run computes, and in which type: the keys `device` and `compute_dtype` against what this build and
// this machine have.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/core/context.h"
#include "io/config/card_file.h"
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

// A line for a run whose `device: auto` leaves a usable card idle; else empty.
std::string idle_card_note(const config::MachineSection& machine);

// The configured budget, or 90 % of what the device has free now.
std::size_t memory_budget(const config::MachineSection& machine);

// What a plan is made for.
struct PlanTarget {
  ComputeChoice compute;
  std::size_t budget = 0;    // bytes that the run may hold
  std::optional<Card> card;  // whose time operations take; nothing: the plan has no times
  // Finds out the card's rates, when a choice depends on them and `card` has none.
  std::function<std::optional<Card>()> rates = {};
  std::size_t page_memory = 0;  // bytes of the host that pages and streamed weights of a CUDA device may take
  int streamed_units = 0;       // of the model
};
// The run's own device and budget.
PlanTarget plan_target(const config::MachineSection& machine);
// A card, which this machine and this build need not have: its kind decides over `device` and, where the run
// file asks for a type that it does not compute in, over `compute_dtype` (then fp16 on CUDA, fp32 on a CPU).
// The budget is the configured one, or the card's memory less what is reserved.
PlanTarget plan_target(const config::MachineSection& machine, const CardSpec& spec);

// The run's device within `budget` bytes, and a plan device. Neither may be moved: Tensors refer to them.
std::unique_ptr<Runtime> make_runtime(const config::MachineSection& machine, std::size_t budget);
std::unique_ptr<Runtime> make_plan_runtime(const config::MachineSection& machine, const PlanTarget& target);

}  // namespace rankine::app
