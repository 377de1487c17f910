// Training a Stable Diffusion model on pictures and captions: LoRA, or all weights of a small one.
//   x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps ;  loss = w_t ||unet(x_t, t, text) - target||²  (Ho et al.
//   2020)
#pragma once

#include <functional>
#include <memory>

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
  StepStats train_step(Context& c, std::int64_t step) override;
  std::optional<double> validate(Context& c) override;
  std::vector<std::filesystem::path> preview(Context& c, std::int64_t step,
                                             const std::filesystem::path& folder) override;
  void save_result(Context& c, const std::filesystem::path& path,
                   const std::map<std::string, std::string>& facts) override;
  std::string fingerprint() const override;

  // Encodes every picture ahead of training; `progress` gets (done, all).
  void fill_latent_cache(const Context& c, const std::function<void(int, int)>& progress);
  // One micro-batch on made-up data, forward and backward: what a plan and a benchmark run.
  double plan_step(Context& c, const PlannedBatch& batch);

  LoraNetwork& network() { return network_; }
  StableDiffusion& model() { return *model_.sd; }
  const LoadedModel& loaded() const { return model_; }
  const NoiseSchedule& schedule() const { return schedule_; }
  ImageData& data() { return *data_; }
  const config::RunConfig& config() const { return config_; }

 private:
  // What one micro-batch is trained on, once its pictures are latents.
  struct Prepared {
    Tensor x0, noise;
    std::vector<int> timesteps;
    std::vector<std::string> captions;
    std::vector<SizeCondition> sizes;
    std::vector<float> weight;  // of each sample in the step's loss
  };
  using Samples = std::vector<Sample>;  // what the visits of a batch point into
  Prepared prepare(const Context& c, const Samples& samples, const MicroBatch& batch, float share);
  Prepared prepare_planned(const Context& c, const PlannedBatch& batch);
  Tensor draw_noise(const Context& c, const Shape& latents) const;
  double run(Context& c, const Prepared& p, bool backward);
  Tensor latents_of(const Context& c, const Samples& samples, const MicroBatch& batch,
                    std::vector<SizeCondition>& sizes);
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
};

}  // namespace rankine
