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
  std::unique_ptr<PlannedRun> start_plan(const PlanTarget& target) override;
  std::unique_ptr<Task> load(const Context& c, const WeightStreaming& streaming, RunFacts& facts) override;
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

// Borrows the data as long as it lives.
class PlannedText final : public PlannedRun {
 public:
  PlannedText(const RunConfig& config, const PlanTarget& target, std::unique_ptr<TextData>& data,
              std::int64_t max_steps)
      : PlannedRun(config, target), data_(data) {
    BucketPlan bucket;
    bucket.tokens = data ? data->most_tokens() : config.optim.batch_size * config.text.max_length;
    bucket.batch = config.optim.batch_size;
    plan().buckets = {bucket};
    plan().max_steps = max_steps;
    LoadedDecoder model = load_decoder(context(), config, streaming());
    plan().model = model.name;
    streamed_by(model.stream.get());
    ledger().end("loading the model");
    auto task = std::make_unique<TextTask>(config, std::move(model), std::move(data));
    text_ = task.get();
    has_data_ = text_->has_data();
    begin(std::move(task), has_data_);
  }
  ~PlannedText() override {
    if (has_data_) data_ = text_->take_data();
  }

 private:
  void micro_step(Context& c, const BucketPlan& bucket, Tensor& loss) override {
    text_->plan_step(c, bucket.tokens, loss);
  }
  std::string describe(const BucketPlan& bucket) const override {
    return fmt::format("training {} tokens", bucket.tokens);
  }

  std::unique_ptr<TextData>& data_;
  TextTask* text_ = nullptr;
  bool has_data_ = false;
};

std::unique_ptr<PlannedRun> TextWorkload::start_plan(const PlanTarget& target) {
  const std::int64_t steps = data_ ? max_steps() : config_.optim.max_steps.value_or(0);
  return std::make_unique<PlannedText>(config_, target, data_, steps);
}

std::unique_ptr<Task> TextWorkload::load(const Context& c, const WeightStreaming& streaming,
                                         RunFacts& facts) {
  LoadedDecoder model = load_decoder(c, config_, streaming);
  facts.model = model.name;
  return std::make_unique<TextTask>(config_, std::move(model), std::move(data_));
}

}  // namespace

std::unique_ptr<Workload> make_text_workload(const RunConfig& config) {
  return std::make_unique<TextWorkload>(config);
}

}  // namespace rankine::app
