// What a run says about itself: in the adapter file's header, and in the identity a checkpoint is matched by.
#pragma once

#include <map>
#include <string>

#include "io/config/run_config.h"
#include "io/formats/safetensors.h"
#include "models/diffusion/sampler_plan.h"

namespace rankine {

class DiffusionTask;

// ss_* and modelspec.* entries as kohya's trainer writes them. `facts` come from the trainer ("steps",
// "epoch", ...).
MetadataTable adapter_metadata(DiffusionTask& task, const std::map<std::string, std::string>& facts);

// Hash of the settings that change the numbers of a run. Paths, previews, saving and threads are not among
// them.
std::string settings_fingerprint(const config::RunConfig& config);

SamplerName sampler_name_of(config::Sampler sampler);

}  // namespace rankine
