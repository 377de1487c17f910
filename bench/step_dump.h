// What a training step starts from and comes to, for other programs to repeat (bench/peers).
//
// FOLDER/step.safetensors:
//   weights/<prefix><path>   frozen weights in the shapes of checkpoints: fp16 where memory has fp16, else
//   fp32,
//                            blocks decoded
//   lora/<path>.down, .up    adapters, fp32: (rank, in) or (rank, in, k, k), and (out, rank)
//   grad/<path>.down, .up    their gradients after the step
//   in/..., out/loss         inputs and the loss
// Numbers are the device's own, in fp32 (gradients and loss without a loss scale); random ones are the same
// on all. Metadata "step": JSON with the sizes of the model.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/core/param.h"
#include "io/formats/safetensors.h"
#include "models/nn/weight.h"

namespace rankine::bench {

// Gives the up matrices, which start at zero and would hide every gradient of the down ones, small random
// numbers.
void randomise_up(const Context& c, const std::vector<Param*>& params);

class StepDump {
 public:
  StepDump() = default;
  void tensor(const std::string& name, const Tensor& t);  // of f32 or i32
  void number(const std::string& name, double value);
  // Weights and adapters of a U-Net, a text encoder or a decoder, with what the adapters' gradients hold now.
  template <class Model>
  void model(Model& m, const std::string& prefix) {
    const auto visitor = collector(prefix);
    m.visit(*visitor);
  }
  // Throws IoError.
  void write(const std::filesystem::path& folder, nlohmann::json sizes);

 private:
  class Collector;
  std::unique_ptr<ModelVisitor> collector(const std::string& prefix);

  std::vector<TensorToWrite> tensors_;
  double lora_scale_ = 1;
};

}  // namespace rankine::bench
