// Training a Stable Diffusion model on pictures and captions: LoRA, or all weights of a small one.
//   x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps ;  loss = w_t ||unet(x_t, t, text) - target||²  (Ho et al.
//   2020)
#pragma once

#include <functional>
#include <memory>

#include "engine/core/step_graph.h"
#include "engine/tape/tape.h"
#include "engine/train/task.h"
#include "models/sd/lora_network.h"
#include "models/tasks/image_data.h"
#include "models/tasks/image_generator.h"
#include "models/tasks/latent_store.h"
#include "models/tasks/model_setup.h"

namespace rankine {

// Sizes of one micro-batch, for planning without data.
struct PlannedBatch {
  std::int64_t samples = 1;
  ImageSize picture;
};

class DiffusionTask final : public Task {
 public:
  // `data` may be null on a plan device. Attaches adapters (or marks weights as trained) at once.
  DiffusionTask(const config::RunConfig& config, LoadedModel model, std::unique_ptr<ImageData> data);

  std::vector<Param*> params() override;
  void init_params(Context& c) override;
  std::int64_t steps_per_epoch() const override { return data_->steps_per_epoch(); }
  std::string unit() const override { return "img"; }
  StepStats train_step(Context& c, std::int64_t step, Tensor& loss) override;
  std::string why_not_finite(Context& c, std::int64_t step) override;
  std::optional<double> validate(Context& c) override;
  std::vector<std::filesystem::path> preview(Context& c, std::int64_t step,
                                             const std::filesystem::path& folder) override;
  void save_result(Context& c, const std::filesystem::path& path,
                   const std::map<std::string, std::string>& facts) override;
  std::string fingerprint() const override;

  // Encodes every picture ahead of training; `progress` gets (done, all).
  void fill_latent_cache(const Context& c, const std::function<void(int, int)>& progress);
  // One micro-batch on made-up data, forward and backward: what a plan and a benchmark run. Adds to `loss`
  // (1).
  void plan_step(Context& c, const PlannedBatch& batch, Tensor& loss);

  LoraNetwork& network() { return network_; }
  StableDiffusion& model() { return *model_.sd; }
  const LoadedModel& loaded() const { return model_; }
  const NoiseSchedule& schedule() const { return schedule_; }
  ImageData& data() { return *data_; }
  const config::RunConfig& config() const { return config_; }
  std::int64_t steps_recorded() const { return graphs_.recorded(); }  // micro-batches, as step_graph.h counts
  std::int64_t steps_launched() const { return graphs_.launched(); }

 private:
  // What the host decides about the samples of a micro-batch.
  struct Choices {
    std::vector<int> timesteps;
    std::vector<std::string> captions;
    std::vector<SizeCondition> sizes;
    std::vector<float> weight;  // of each sample in the step's loss
  };
  // One micro-batch on the device: all that compute() takes beside the parameters and the step's random
  // numbers.
  struct Inputs {
    Tensor moments;                               // (N, h, w, 2Z) of the VAE's posterior
    Tensor timesteps;                             // (N) fp32, as all below
    Tensor signal, noise, target_x0, target_eps;  // factors of models/diffusion/noise_schedule.h
    Tensor weight;                                // of each sample in the step's loss, times the loss scale
    TextInputs text;
    std::vector<Tensor*> tensors();
  };
  // What came of a forward pass.
  struct Predicted {
    Conditioning condition;
    Tensor pred, target;
  };
  using Samples = std::vector<Sample>;  // what the visits of a batch point into
  Choices choose(const Context& c, const Samples& samples, const MicroBatch& batch, float share) const;
  Tensor moments_of(const Context& c, const Samples& samples, const MicroBatch& batch);
  Inputs upload(const Context& c, Tensor moments, const Choices& choices) const;
  // Host work and uploads.
  Inputs prepare(const Context& c, const Samples& samples, const MicroBatch& batch, float share);
  Inputs prepare_planned(const Context& c, const PlannedBatch& batch);
  // Forward and backward, from a recording where there is one: gradients and `loss` are added to.
  void run(const Context& c, Inputs in, Tensor& loss);
  // The same, work of the device alone.
  void compute(const Context& c, const Inputs& in, Tensor& loss);
  Tensor draw_latents(const Context& c, const Tensor& moments) const;
  Tensor draw_noise(const Context& c, const Shape& latents) const;
  Predicted predict(const Context& c, const Inputs& in);
  void backward(const Context& c, const Predicted& p, const Tensor& dpred);
  void decode_ahead(const Context& c, const Samples& samples, const MicroBatch& batch);
  bool keeps_latents() const { return !config_.data.random_crop; }
  // Pictures may have to be encoded within steps, and not all before the first.
  bool encodes_in_step() const { return !keeps_latents() || !config_.data.cache_latents; }
  bool full() const { return config_.model.method == config::Method::full; }
  bool text_trains() const { return config_.adapter.train_text_encoder; }

  config::RunConfig config_;
  LoadedModel model_;
  std::unique_ptr<ImageData> data_;
  NoiseSchedule schedule_;
  LoraNetwork network_;
  std::vector<Weight*> trained_weights_;
  std::optional<AdapterFile> initial_adapter_;
  LatentStore latents_;
  StepGraphs<Inputs> graphs_;
};

}  // namespace rankine
