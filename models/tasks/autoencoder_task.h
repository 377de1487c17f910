// Training the VAE of a small model from pictures alone (`task_type: autoencoder`, `method: full`):
//   loss = reconstruction + kl_weight · KL(q(z|x) || N(0, 1))          (Kingma & Welling 2014)
#pragma once

#include <functional>
#include <memory>

#include "engine/core/step_graph.h"
#include "engine/train/task.h"
#include "models/tasks/image_data.h"
#include "models/tasks/model_setup.h"

namespace rankine {

class AutoencoderTask final : public Task {
 public:
  AutoencoderTask(const config::RunConfig& config, LoadedModel model, std::unique_ptr<ImageData> data);

  std::vector<Param*> params() override;
  void init_params(Context& c) override;
  std::int64_t steps_per_epoch() const override { return data_->steps_per_epoch(); }
  std::string unit() const override { return "img"; }
  StepStats train_step(Context& c, std::int64_t step, Tensor& loss) override;
  std::optional<double> validate(Context& c) override;  // reconstruction error from the posterior mean
  // Originals and reconstructions side by side.
  std::vector<std::filesystem::path> preview(Context& c, std::int64_t step,
                                             const std::filesystem::path& folder) override;
  // The whole model. The latents are scaled so that, times the layout's fixed latent_scale, they have unit
  // variance.
  void save_result(Context& c, const std::filesystem::path& path,
                   const std::map<std::string, std::string>& facts) override;
  std::string fingerprint() const override;

 private:
  // One micro-batch on the device.
  struct Inputs {
    Tensor pictures;           // (N, h, w, 3) in [-1, 1]
    Tensor weight, kl_weight;  // (N) fp32: of each sample in the step's loss, times the loss scale
    std::vector<Tensor*> tensors() { return {&pictures, &weight, &kl_weight}; }
  };
  Tensor pictures_of(const Context& c, const MicroBatch& batch);
  Inputs prepare(const Context& c, const MicroBatch& batch, float share);
  // Forward and backward, work of the device alone.
  void compute(const Context& c, const Inputs& in, Tensor& loss);
  float latent_gain(const Context& c);

  config::RunConfig config_;
  LoadedModel model_;
  std::unique_ptr<ImageData> data_;
  std::vector<Weight*> trained_;
  StepGraphs<Inputs> graphs_;
  std::map<std::string, std::vector<float>> pictures_;  // decoded once: small models train on small pictures
};

}  // namespace rankine
