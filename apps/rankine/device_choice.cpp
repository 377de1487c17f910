#include "apps/rankine/device_choice.h"

#include "apps/rankine/cuda_report.h"
#include "apps/rankine/machine.h"
#include "engine/core/cuda_device.h"

namespace rankine::app {
namespace {

using config::ComputeDtype;
using config::DeviceChoice;

constexpr double kShareOfAvailable = 0.9;

// Asked for once.
const CudaFacts& known_devices() {
  static const CudaFacts facts = cuda_devices();
  return facts;
}

Device cuda_device(int index) {
  const CudaFacts& facts = known_devices();
  const std::size_t devices = facts.driver.devices.size(), wanted = static_cast<std::size_t>(index);
  if (wanted >= devices) {
    const CudaReport report = cuda_report(cuda_facts());
    const std::string why = report.usable ? join("there are ", devices, " devices") : report.advice;
    throw ConfigError(join("device: cuda:", index, " is not there: ", why));
  }
  const std::string why = why_unusable(facts, wanted);
  require<ConfigError>(why.empty(), "device: cuda:", index, " cannot be used: ", why);
  return Device::cuda(index);
}

DType cuda_type(ComputeDtype dtype) {
  switch (dtype) {
    case ComputeDtype::automatic:
    case ComputeDtype::fp16:
      return DType::f16;
    case ComputeDtype::bf16:
      return DType::bf16;
    case ComputeDtype::fp32:
      break;
  }
  throw ConfigError("compute_dtype: CUDA computes in fp16 or bf16; use auto, fp16 or bf16");
}

}  // namespace

ComputeChoice compute_choice(const config::MachineSection& machine) {
  if (machine.device.kind == DeviceChoice::Kind::cuda)
    return {cuda_device(machine.device.index), cuda_type(machine.compute_dtype)};
  require<ConfigError>(
      machine.compute_dtype == ComputeDtype::automatic || machine.compute_dtype == ComputeDtype::fp32,
      "compute_dtype: the CPU computes in fp32; use auto or fp32");
  return {Device::cpu(), DType::f32};
}

std::string idle_card_note(const config::MachineSection& machine) {
  return machine.device.kind == DeviceChoice::Kind::automatic ? idle_card_note(known_devices()) : "";
}

std::size_t memory_budget(const config::MachineSection& machine) {
  if (machine.memory_budget.bytes != 0) return machine.memory_budget.bytes;
  const Device device = compute_choice(machine).device;
  double available = static_cast<double>(available_memory());
  if constexpr (build::cuda) {
    if (device.is_cuda()) available = static_cast<double>(cuda::free_memory(device));
  }
  return static_cast<std::size_t>(kShareOfAvailable * available);
}

std::unique_ptr<Runtime> make_runtime(const config::MachineSection& machine, std::size_t budget) {
  const ComputeChoice choice = compute_choice(machine);
  return std::make_unique<Runtime>(choice.device, budget, static_cast<int>(machine.threads),
                                   choice.activations);
}

PlanTarget plan_target(const config::MachineSection& machine) {
  PlanTarget target;
  target.compute = compute_choice(machine);
  target.budget = memory_budget(machine);
  if (target.compute.device.is_cuda())
    target.page_memory = machine.page_memory.bytes != 0 ? machine.page_memory.bytes : available_memory() / 2;
  return target;
}

PlanTarget plan_target(const config::MachineSection& machine, const CardSpec& spec) {
  PlanTarget target;
  if (spec.card.kind == DeviceKind::cuda) {
    const bool bf16 = machine.compute_dtype == ComputeDtype::bf16;
    target.compute = {Device::cuda(0), bf16 ? DType::bf16 : DType::f16};
  }
  target.budget = machine.memory_budget.bytes != 0 ? machine.memory_budget.bytes : spec.usable();
  target.card = spec.card;
  target.page_memory = machine.page_memory.bytes != 0 ? machine.page_memory.bytes : Memory::kUnlimited;
  return target;
}

std::unique_ptr<Runtime> make_plan_runtime(const config::MachineSection& machine, const PlanTarget& target) {
  auto runtime = std::make_unique<Runtime>(target.compute.device.planned(), Memory::kUnlimited,
                                           static_cast<int>(machine.threads), target.compute.activations);
  if (target.card) runtime->time_on(*target.card);
  return runtime;
}

}  // namespace rankine::app
