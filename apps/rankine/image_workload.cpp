#include <fmt/core.h>

#include <algorithm>

#include "apps/rankine/sample_grid.h"
#include "apps/rankine/stop_signals.h"
#include "apps/rankine/workload.h"

namespace rankine::app {
namespace {

std::vector<BucketPlan> buckets_of(const RunConfig& config, const ImageData* data, const ModelShape& shape) {
  const std::int64_t batch = config.optim.batch_size;
  if (!data) {
    const auto r = config.data.resolution.value_or(config::Resolution{shape.side, shape.side});
    const auto fit = [&](std::int64_t side) {
      return static_cast<int>(std::max<std::int64_t>(1, side / shape.downscale) * shape.downscale);
    };
    return {BucketPlan{{fit(r.width), fit(r.height)}, 0, batch, {}, 0}};
  }
  const std::vector<int> counts = data->bucket_counts();
  std::vector<BucketPlan> out;
  for (const Bucket& bucket : data->used_buckets()) {
    const auto at =
        std::find(data->buckets().begin(), data->buckets().end(), bucket) - data->buckets().begin();
    const int visits = counts[static_cast<std::size_t>(at)];
    if (visits > 0) out.push_back({bucket, visits, std::min<std::int64_t>(batch, visits), {}, 0, 0});
  }
  return out;
}

// The step of the first epoch with the most pixels in a micro-batch.
std::int64_t largest_step(ImageData& data) {
  std::int64_t best = 0, best_pixels = 0;
  for (std::int64_t step = 0; step < data.steps_per_epoch(); ++step) {
    for (const MicroBatch& batch : data.step(step)) {
      const CropPlan& crop = batch.at(0).crop;
      const std::int64_t pixels = std::int64_t{crop.w} * crop.h * static_cast<std::int64_t>(batch.size());
      if (pixels > best_pixels) best = step, best_pixels = pixels;
    }
  }
  return best;
}

// The same run with short previews: their length changes no size.
RunConfig planned_config(RunConfig config) {
  constexpr std::int64_t kFewSteps = 3;
  config.output.sample_count_steps = std::min(config.output.sample_count_steps, kFewSteps);
  for (config::SamplePrompt& prompt : config.output.sample_prompts) {
    if (prompt.steps) prompt.steps = std::min(*prompt.steps, kFewSteps);
  }
  return config;
}

class PlannedPictures final : public PlannedRun {
 public:
  PlannedPictures(const RunConfig& config, const PlanTarget& target, const ImageData* data,
                  const std::vector<std::string>& captions, std::int64_t max_steps)
      : PlannedRun(config, target) {
    plan().max_steps = max_steps;
    LoadedModel model = load_model(context(), config, tokenizer_search(), captions, streaming());
    plan().model = model.name;
    streamed_by(model.stream.get());
    ledger().end("loading the model");
    RunTask run = make_task(config, std::move(model), data ? std::make_unique<ImageData>(*data) : nullptr);
    diffusion_ = run.diffusion;
    if (diffusion_) {
      plan().buckets = buckets_of(config, data, shape_of_model(config));
    } else {  // what an autoencoder trains on differs from step to step: the largest one as it is
      data_ = *data;
      step_ = largest_step(*data_);
      plan().buckets = {BucketPlan{}};
    }
    if (diffusion_ && data && config.data.cache_latents) {
      ledger().begin();
      diffusion_->fill_latent_cache(context(), nullptr);
      ledger().end("encoding the pictures");
    }
    begin(std::move(run.task), data != nullptr);
  }

 private:
  void micro_step(Context& c, const BucketPlan& bucket, Tensor& loss) override {
    if (diffusion_)
      diffusion_->plan_step(c, {bucket.batch, bucket.size}, loss);
    else
      task().train_step(c, step_, loss);
  }
  std::int64_t micro_steps() const override { return diffusion_ ? PlannedRun::micro_steps() : 1; }
  std::string describe(const BucketPlan& bucket) const override {
    return diffusion_ ? fmt::format("training {} x {}", bucket.size.width, bucket.size.height) : "training";
  }

  DiffusionTask* diffusion_ = nullptr;  // the task, where it is one
  std::optional<ImageData> data_;
  std::int64_t step_ = 0;
};

class ImageWorkload final : public Workload {
 public:
  explicit ImageWorkload(const RunConfig& config) : config_(config) {}

  void open_data(Console& console, RunFacts& facts) override;
  std::int64_t max_steps() override {
    return steps_of_run(config_, data_->steps_per_epoch(),
                        [&](std::int64_t step) { return data_->epoch_of(step); });
  }
  std::int64_t steps_per_epoch() override { return data_->steps_per_epoch(); }
  std::unique_ptr<PlannedRun> start_plan(const PlanTarget& target) override;
  std::unique_ptr<Task> load(const Context& c, const WeightStreaming& streaming, RunFacts& facts) override;
  void prepare(const Context& c, Console& console) override;
  void illustrate(const RunFolder& folder) override;
  std::string subject() const override { return "pictures"; }

 private:
  std::vector<std::string> captions() const {
    return data_ ? captions_of(*data_) : std::vector<std::string>();
  }

  RunConfig config_;
  std::unique_ptr<ImageData> data_;
  DiffusionTask* diffusion_ = nullptr;  // the task, where it is one
};

void ImageWorkload::open_data(Console& console, RunFacts& facts) {
  data_ = load_data(config_);
  for (const Problem& problem : data_->problems()) {
    console.warn(problem.to_string());
    facts.warnings.push_back(problem.to_string());
  }
  facts.dataset = {
      {"Pictures", std::to_string(data_->train_pictures())},
      {"Regularisation pictures", std::to_string(data_->samples().size() - data_->train_pictures())},
      {"Sizes in use", std::to_string(data_->buckets().size())},
      {"Steps of an epoch", std::to_string(data_->steps_per_epoch())},
      {"Held out for validation",
       std::to_string(data_->held_out() ? data_->validation().size() : std::size_t{0})}};
  console.info(fmt::format("{} pictures in {} sizes, {} steps of {} an epoch", data_->train_pictures(),
                           data_->buckets().size(), max_steps(), data_->steps_per_epoch()));
}

std::unique_ptr<PlannedRun> ImageWorkload::start_plan(const PlanTarget& target) {
  require<ConfigError>(data_ || config_.model.task_type != config::TaskType::autoencoder,
                       "task_type: autoencoder cannot be planned without its pictures");
  const std::int64_t steps = data_ ? max_steps() : config_.optim.max_steps.value_or(0);
  return std::make_unique<PlannedPictures>(planned_config(config_), target, data_.get(), captions(), steps);
}

std::unique_ptr<Task> ImageWorkload::load(const Context& c, const WeightStreaming& streaming,
                                          RunFacts& facts) {
  LoadedModel model = load_model(c, config_, tokenizer_search(), captions(), streaming);
  facts.model = model.name;
  RunTask run = make_task(config_, std::move(model), std::move(data_));
  diffusion_ = run.diffusion;
  return std::move(run.task);
}

void ImageWorkload::prepare(const Context& c, Console& console) {
  if (!diffusion_ || !config_.data.cache_latents) return;
  diffusion_->fill_latent_cache(c, [&](int done, int all) {
    StopSignals::throw_if_requested();
    console.progress(fmt::format("encoding pictures {}/{}", done, all));
  });
  console.clear_progress();
}

void ImageWorkload::illustrate(const RunFolder& folder) {
  std::vector<std::string> prompts;
  for (const config::SamplePrompt& p : config_.output.sample_prompts) prompts.push_back(p.prompt);
  write_before_after_grid(folder.samples_dir(), prompts);
}

}  // namespace

std::unique_ptr<Workload> make_image_workload(const RunConfig& config) {
  return std::make_unique<ImageWorkload>(config);
}

std::unique_ptr<Workload> make_workload(const RunConfig& config) {
  const bool text = config.model.task_type == config::TaskType::text_generation;
  return text ? make_text_workload(config) : make_image_workload(config);
}

}  // namespace rankine::app
