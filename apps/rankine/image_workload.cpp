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

// Forward and backward of every bucket; returns the steps of the dearest.
Cost plan_diffusion(Context& c, DiffusionTask& task, Tensor& loss, Ledger& ledger, RunPlan& plan) {
  const BucketPlan* dearest = nullptr;
  for (BucketPlan& bucket : plan.buckets) {
    ledger.begin();
    task.plan_step(c, {bucket.batch, bucket.size}, loss);
    bucket.micro_step = ledger.cost();
    bucket.seconds = ledger.seconds();
    bucket.peak = ledger.peak();
    if (!dearest || bucket.micro_step.flops > dearest->micro_step.flops) dearest = &bucket;
    ledger.end(fmt::format("training {} x {}", bucket.size.width, bucket.size.height));
  }
  Cost step;
  if (!dearest) return step;
  add(step, dearest->micro_step, static_cast<double>(plan.accumulation));
  plan.seconds = static_cast<double>(plan.accumulation) * dearest->seconds;
  return step;
}

Cost plan_whole_step(Context& c, Task& task, ImageData data, Tensor& loss, Ledger& ledger, RunPlan& plan) {
  const std::int64_t step = largest_step(data);
  ledger.begin();
  task.train_step(c, step, loss);
  plan.seconds = ledger.seconds();
  ledger.end("training");
  return ledger.cost();
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

class ImageWorkload final : public Workload {
 public:
  explicit ImageWorkload(const RunConfig& config) : config_(config) {}

  void open_data(Console& console, RunFacts& facts) override;
  std::int64_t max_steps() override {
    return steps_of_run(config_, data_->steps_per_epoch(),
                        [&](std::int64_t step) { return data_->epoch_of(step); });
  }
  std::int64_t steps_per_epoch() override { return data_->steps_per_epoch(); }
  RunPlan plan(const PlanTarget& target) override;
  std::unique_ptr<Task> load(const Context& c, RunFacts& facts) override;
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

RunPlan ImageWorkload::plan(const PlanTarget& target) {
  require<ConfigError>(data_ || config_.model.task_type != config::TaskType::autoencoder,
                       "task_type: autoencoder cannot be planned without its pictures");
  const RunConfig config = planned_config(config_);
  RunPlan plan;
  plan.accumulation = config.optim.gradient_accumulation;
  plan.buckets = buckets_of(config, data_.get(), shape_of_model(config));
  plan.max_steps = data_ ? max_steps() : config.optim.max_steps.value_or(0);

  const auto planned = make_plan_runtime(config.machine, target);
  Runtime& runtime = *planned;
  const Context c(runtime);
  Ledger ledger(runtime, plan);
  LoadedModel model = load_model(c, config, tokenizer_search(), captions());
  plan.model = model.name;
  ledger.end("loading the model");
  const RunTask run =
      make_task(config, std::move(model), data_ ? std::make_unique<ImageData>(*data_) : nullptr);
  if (run.diffusion && data_ && config.data.cache_latents) {
    ledger.begin();
    run.diffusion->fill_latent_cache(c, nullptr);
    ledger.end("encoding the pictures");
  }
  PlannedParts parts;
  if (data_) parts.previews = [&](Context& k) { run.task->preview(k, 0, ""); };
  parts.steps = [&](Context& k, Tensor& loss, Ledger& watched) {
    return run.diffusion ? plan_diffusion(k, *run.diffusion, loss, watched, plan)
                         : plan_whole_step(k, *run.task, *data_, loss, watched, plan);
  };
  plan_training(c, *run.task, config, plan, parts);
  return plan;
}

std::unique_ptr<Task> ImageWorkload::load(const Context& c, RunFacts& facts) {
  LoadedModel model = load_model(c, config_, tokenizer_search(), captions());
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
