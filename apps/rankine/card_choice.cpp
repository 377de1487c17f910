#include "apps/rankine/card_choice.h"

#include "apps/rankine/cuda_report.h"
#include "apps/rankine/device_choice.h"

namespace rankine::app {

std::optional<CardSpec> card_of_run(const RunConfig& config) {
  const Device device = compute_choice(config.machine).device;
  if (!device.is_cuda()) return measure_cpu(static_cast<int>(config.machine.threads), page_dir_of(config));
  const CudaFacts facts = cuda_facts();
  const auto& devices = facts.driver.devices;
  const auto index = static_cast<std::size_t>(device.index);
  const CardSpec* known = index < devices.size() ? card_called(devices[index].name) : nullptr;
  return known ? std::optional(*known) : std::nullopt;
}

Card card_to_choose_by(const RunConfig& config) {
  const std::optional<CardSpec> known = card_of_run(config);
  return known ? known->card : card_for("rtx3090").card;
}

}  // namespace rankine::app
