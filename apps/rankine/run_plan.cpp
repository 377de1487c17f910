#include "apps/rankine/run_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "apps/rankine/machine.h"

namespace rankine::app {
namespace {

// The same run with nothing on disk and short previews: their length changes no size.
RunConfig planned_config(RunConfig config) {
  constexpr std::int64_t kFewSteps = 3;
  config.data.cache_latents = false;
  config.output.sample_count_steps = std::min(config.output.sample_count_steps, kFewSteps);
  for (config::SamplePrompt& prompt : config.output.sample_prompts) {
    if (prompt.steps) prompt.steps = std::min(*prompt.steps, kFewSteps);
  }
  return config;
}

// Watches one plan device and notes what each part of the run adds.
class Ledger {
 public:
  Ledger(Runtime& runtime, RunPlan& plan) : memory_(runtime.memory()), cost_(runtime.cost()), plan_(plan) {}

  void begin() {
    memory_.reset_peak();
    cost_.clear();
  }
  Cost cost() const { return {cost_.flops(), cost_.bytes()}; }
  std::size_t peak() const { return memory_.high_water(); }

  void end(const std::string& name) {
    plan_.phases.push_back({name, peak()});
    if (peak() <= plan_.peak) return;
    plan_.peak = peak();
    plan_.accounts.clear();
    std::size_t held = 0;
    for (int i = 0; i < kAccounts; ++i) {
      const auto account = static_cast<Account>(i);
      plan_.accounts.emplace_back(name_of(account), memory_.at_peak(account));
      held += memory_.at_peak(account);
    }
    plan_.accounts.emplace_back("gaps", plan_.peak - held);
  }

 private:
  Memory& memory_;
  CostMeter& cost_;
  RunPlan& plan_;
};

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
    if (visits > 0) out.push_back({bucket, visits, std::min<std::int64_t>(batch, visits), {}, 0});
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

void add(Cost& sum, const Cost& cost, double times) {
  sum.flops += times * cost.flops;
  sum.bytes += times * cost.bytes;
}

// Forward and backward of every bucket; returns the dearest.
Cost plan_diffusion(Context& c, DiffusionTask& task, Ledger& ledger, RunPlan& plan) {
  Cost dearest;
  for (BucketPlan& bucket : plan.buckets) {
    ledger.begin();
    task.plan_step(c, {bucket.batch, bucket.size});
    bucket.micro_step = ledger.cost();
    bucket.peak = ledger.peak();
    if (bucket.micro_step.flops > dearest.flops) dearest = bucket.micro_step;
    ledger.end(fmt::format("training {} x {}", bucket.size.width, bucket.size.height));
  }
  Cost step;
  add(step, dearest, static_cast<double>(plan.accumulation));
  return step;
}

Cost plan_whole_step(Context& c, Task& task, ImageData data, Ledger& ledger) {
  const std::int64_t step = largest_step(data);
  ledger.begin();
  task.train_step(c, step);
  ledger.end("training");
  return ledger.cost();
}

}  // namespace

RunPlan plan_run(const RunConfig& asked, const ImageData* data) {
  require<ConfigError>(data || asked.model.task_type != config::TaskType::autoencoder,
                       "task_type: autoencoder cannot be planned without its pictures");
  const RunConfig config = planned_config(asked);
  RunPlan plan;
  plan.accumulation = config.optim.gradient_accumulation;
  plan.buckets = buckets_of(config, data, shape_of_model(config));
  if (data) {
    ImageData copy = *data;
    plan.max_steps = steps_of_run(config, copy);
  } else {
    plan.max_steps = config.optim.max_steps.value_or(0);
  }

  Runtime runtime(Device::cpu().planned(), Memory::kUnlimited, static_cast<int>(config.machine.threads));
  Context c(runtime);
  Ledger ledger(runtime, plan);
  LoadedModel model =
      load_model(c, config, tokenizer_search(), data ? captions_of(*data) : std::vector<std::string>());
  plan.model = model.name;
  ledger.end("loading the model");
  const RunTask run =
      make_task(config, std::move(model), data ? std::make_unique<ImageData>(*data) : nullptr);
  if (run.diffusion && data && asked.data.cache_latents) {
    ledger.begin();
    run.diffusion->fill_latent_cache(c, nullptr);
    ledger.end("encoding the pictures");
  }

  const TrainOptions options = train_options(config, std::max<std::int64_t>(1, plan.max_steps));
  ledger.begin();
  TrainState state(c, *run.task, options.adamw, options.ema_decay);
  plan.parameters = state.arena().numel();
  ledger.end("parameters and optimizer");
  if (data) {
    ledger.begin();
    run.task->preview(c, 0, "");
    ledger.end("previews");
  }
  plan.step = run.diffusion ? plan_diffusion(c, *run.diffusion, ledger, plan)
                            : plan_whole_step(c, *run.task, *data, ledger);
  ledger.begin();
  check_gradient(c, state.arena(), options.max_grad_norm);
  state.optimizer().step(c, state.arena(), options.schedule.learning_rate, 1);
  add(plan.step, ledger.cost(), 1);
  ledger.end("update");
  return plan;
}

void require_fits(const RunPlan& plan, const RunConfig& config, std::size_t budget) {
  if (plan.peak <= budget) return;
  const bool automatic = config.machine.memory_budget.bytes == 0;
  const std::string message = fmt::format(
      "this run needs {} of memory, but the budget is {} ({}).\n{}\nWhat helps: a smaller batch_size with "
      "more gradient_accumulation, recompute: true, a lower resolution, fewer threads.",
      human_bytes(static_cast<double>(plan.peak)), human_bytes(static_cast<double>(budget)),
      automatic ? "90 % of what is free now" : "memory_budget", plan_table(plan));
  if (automatic && plan.peak <= total_memory()) throw OutOfMemory(message);
  throw ConfigError(message);
}

std::string plan_table(const RunPlan& plan) {
  std::string out = fmt::format("  {:<28}{:>12}\n", "at the peak", "memory");
  for (const auto& [name, bytes] : plan.accounts) {
    if (bytes > 0) out += fmt::format("  {:<28}{:>12}\n", name, human_bytes(static_cast<double>(bytes)));
  }
  out += fmt::format("  {:<28}{:>12}\n\n  {:<28}{:>12}\n", "in all",
                     human_bytes(static_cast<double>(plan.peak)), "most memory while", "");
  for (const PlanPhase& phase : plan.phases) {
    out += fmt::format("  {:<28}{:>12}\n", phase.name, human_bytes(static_cast<double>(phase.peak)));
  }
  out.pop_back();
  return out;
}

}  // namespace rankine::app
