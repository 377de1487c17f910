// PEFT adapter folders (huggingface/peft, checked with 0.10): adapter_config.json and
// adapter_model.safetensors.
//
//   base_model.model.<module>.lora_A.weight          (r, in)
//   base_model.model.<module>.lora_B.weight          (out, r)
//   base_model.model.<module>.lora_magnitude_vector  (out), DoRA
// The scale of a module is alpha / r, or alpha / sqrt(r) with use_rslora; rank_pattern and alpha_pattern give
// single modules their own (io/formats/module_pattern.h).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "io/formats/adapter_weights.h"

namespace rankine {

struct PeftConfig {
  std::string base_model;                   // base_model_name_or_path: name of a repository or a path
  std::vector<std::string> target_modules;  // last components or whole paths of modules
  int rank = 8;
  float alpha = 8;
  float dropout = 0;
  bool rank_stabilised = false;
  bool dora = false;
  // In the order of the file: the first pattern that matches a module counts.
  std::vector<std::pair<std::string, int>> rank_pattern;
  std::vector<std::pair<std::string, float>> alpha_pattern;
};

struct PeftAdapter {
  PeftConfig config;
  std::vector<AdapterWeights> modules;  // sorted by name when read
};

struct PeftOptions {
  std::string base_model;
  float dropout = 0;
  bool rank_stabilised = false;
  // Paths of all linear maps of the model. Target modules are then last components ("q_proj") only where
  // every such map of the model has an adapter, and whole paths elsewhere; without the list, always last
  // components.
  std::vector<std::string> linears;
};

// The configuration that says what `modules` are: rank and alpha that most modules have, patterns with whole
// paths for the others. Throws DataError as check_adapter, and when only some modules have a magnitude.
PeftAdapter peft_adapter(std::vector<AdapterWeights> modules, const PeftOptions& options);

// Writes the folder durably, tensors as `dtype` (F32, F16 or BF16), after reading it back and comparing
// (check_reloaded); see io/files/atomic_folder.h for a folder that exists. Throws DataError as check_adapter
// and for modules that the configuration does not describe, IoError.
void write_peft_adapter(const std::filesystem::path& folder, const PeftAdapter& adapter, FileDType dtype);

// Reads a folder. Throws DataError naming file and key for what is no LoRA of linear maps or cannot be said
// in AdapterWeights: another peft_type, trained biases or whole modules, embeddings, convolutions, aLoRA,
// replicated layers, QA-LoRA, adapters that need a changed base (init_lora_weights pissa, olora, loftq,
// corda, lora_ga, when not converted), half a module, sizes that the configuration contradicts. Reads
// adapter_model.safetensors; for weights in another container (adapter_model.bin) pass their source.
PeftAdapter read_peft_adapter(const std::filesystem::path& folder);
PeftAdapter read_peft_adapter(const std::filesystem::path& folder, const TensorSource& weights);

}  // namespace rankine
