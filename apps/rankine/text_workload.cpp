#include <fmt/core.h>

#include <algorithm>

#include "apps/rankine/workload.h"
#include "models/tasks/text_task.h"

namespace rankine::app {
namespace {

class TextWorkload final : public Workload {
 public:
  explicit TextWorkload(const RunConfig& config) : config_(config) {}

  void open_data(Console& console, RunFacts& facts) override;
  std::int64_t max_steps() override {
    return steps_of_run(config_, data_->steps_per_epoch(),
                        [&](std::int64_t step) { return data_->epoch_of(step); });
  }
  std::int64_t steps_per_epoch() override { return data_->steps_per_epoch(); }
  RunPlan plan(const PlanTarget& target) override;
  std::unique_ptr<Task> load(const Context& c, RunFacts& facts) override;
  std::string subject() const override { return "text"; }

 private:
  RunConfig config_;
  std::unique_ptr<TextData> data_;
};

void TextWorkload::open_data(Console& console, RunFacts& facts) {
  const DecoderCheckpoint checkpoint = checkpoint_of(config_);
  for (const std::string& assumed : checkpoint.assumed)
    console.info(checkpoint.path.string() + ": " + assumed);
  data_ = std::make_unique<TextData>(config_, name_of(checkpoint.config.family),
                                     vocabulary_for(config_, checkpoint).tokenizer);
  for (const Problem& problem : data_->problems()) {
    console.warn(problem.to_string());
    facts.warnings.push_back(problem.to_string());
  }
  const TextReport report = data_->report();
  for (const TextFinding& finding : report.findings) {
    facts.warnings.push_back(fmt::format("{}: {}", finding.what, finding.count));
  }
  const double share = report.tokens > 0 ? 100.0 * double(report.trained_tokens) / double(report.tokens) : 0;
  facts.dataset = {{"Rows", std::to_string(data_->rows().size())},
                   {"Tokens", std::to_string(report.tokens)},
                   {"Trained tokens", fmt::format("{} ({:.1f} %)", report.trained_tokens, share)},
                   {"Template", data_->chat().name()},
                   {"Steps of an epoch", std::to_string(data_->steps_per_epoch())},
                   {"Held-out rows", std::to_string(data_->eval_rows().size())}};
  console.info(
      fmt::format("{} rows, {} tokens, {:.1f} % of them trained; template {}; {} steps of {} an epoch",
                  data_->rows().size(), report.tokens, share, data_->chat().name(), max_steps(),
                  data_->steps_per_epoch()));
}

RunPlan TextWorkload::plan(const PlanTarget& target) {
  RunPlan plan;
  plan.accumulation = config_.optim.gradient_accumulation;
  plan.max_steps = data_ ? max_steps() : config_.optim.max_steps.value_or(0);
  BucketPlan bucket;
  bucket.tokens = data_ ? data_->most_tokens() : config_.optim.batch_size * config_.text.max_length;
  bucket.batch = config_.optim.batch_size;
  plan.buckets = {bucket};

  const auto planned = make_plan_runtime(config_.machine, target);
  Runtime& runtime = *planned;
  const Context c(runtime);
  Ledger ledger(runtime, plan);
  LoadedDecoder model = load_decoder(c, config_);
  plan.model = model.name;
  ledger.end("loading the model");
  TextTask task(config_, std::move(model), data_ ? std::make_unique<TextData>(std::move(*data_)) : nullptr);
  PlannedParts parts;
  if (data_) parts.previews = [&](Context& k) { task.preview(k, 0, ""); };
  parts.steps = [&](Context& k, Tensor& loss, Ledger& watched) {
    watched.begin();
    task.plan_step(k, bucket.tokens, loss);
    plan.buckets[0].micro_step = watched.cost();
    plan.buckets[0].seconds = watched.seconds();
    plan.buckets[0].peak = watched.peak();
    plan.seconds = static_cast<double>(plan.accumulation) * plan.buckets[0].seconds;
    Cost step;
    add(step, plan.buckets[0].micro_step, static_cast<double>(plan.accumulation));
    watched.end(fmt::format("training {} tokens", bucket.tokens));
    return step;
  };
  plan_training(c, task, config_, plan, parts);
  if (data_) *data_ = std::move(task.data());
  return plan;
}

std::unique_ptr<Task> TextWorkload::load(const Context& c, RunFacts& facts) {
  LoadedDecoder model = load_decoder(c, config_);
  facts.model = model.name;
  return std::make_unique<TextTask>(config_, std::move(model), std::move(data_));
}

}  // namespace

std::unique_ptr<Workload> make_text_workload(const RunConfig& config) {
  return std::make_unique<TextWorkload>(config);
}

}  // namespace rankine::app
