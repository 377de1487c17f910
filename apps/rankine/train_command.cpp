#include <fmt/core.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "apps/rankine/card_choice.h"
#include "apps/rankine/commands.h"
#include "apps/rankine/console_observer.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/machine.h"
#include "apps/rankine/plan_run.h"
#include "apps/rankine/run_facts.h"
#include "apps/rankine/run_report.h"
#include "apps/rankine/stop_signals.h"
#include "apps/rankine/workload.h"
#include "engine/tape/page_store.h"
#include "engine/train/run_recorder.h"
#include "io/files/atomic_write.h"
#include "io/record/progress.h"
#include "io/record/run_folder.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

// Notes for run.json what no metric holds.
class FactsObserver final : public TrainObserver {
 public:
  explicit FactsObserver(RunFacts& facts) : facts_(facts) {}
  void on_start(const RunStart& start) override { facts_.parameters = start.parameters; }
  void on_step(const StepRecord& record) override { facts_.steps = record.step; }
  void on_validation(std::int64_t step, double loss) override {
    if (step == 0) facts_.first_validation = loss;
  }
  void on_warning(const std::string& message) override { facts_.warnings.push_back(message); }

 private:
  RunFacts& facts_;
};

class Training {
 public:
  Training(const TrainCommand& command, Console& console)
      : command_(command),
        console_(console),
        config_(load_config(command.config)),
        workload_(make_workload(config_)) {}

  int execute();

 private:
  fs::path run_dir() const { return config_.output.output_dir; }
  void require_free_folder() const;
  void clear_earlier_run() const;
  void open_data();
  void plan();
  void load();
  TrainResult train();
  void finish(const TrainResult& result);
  void record_failure(const std::string& message);
  void note_operations();
  void print_result(const TrainResult& result) const;
  template <class Work>
  void timed(const std::string& part, const Work& work) {
    const Clock::time_point start = Clock::now();
    work();
    facts_.timings.emplace_back(part, std::chrono::duration<double>(Clock::now() - start).count());
  }

  const TrainCommand& command_;
  Console& console_;
  RunConfig config_;
  RunFacts facts_;
  StopSignals signals_;
  std::optional<RunFolder> folder_;
  std::unique_ptr<Workload> workload_;
  std::size_t budget_ = 0;
  RunPlan plan_;
  std::int64_t max_steps_ = 0, steps_per_epoch_ = 1;
  std::unique_ptr<Runtime> runtime_;
  std::unique_ptr<Task> task_;
};

int Training::execute() {
  facts_.version = RANKINE_VERSION;
  facts_.started = utc_now();
  facts_.processor = processor_name();
  require_free_folder();
  if (const std::string note = idle_card_note(config_.machine); !note.empty()) console_.info(note);
  timed("Reading the " + workload_->subject(), [&] { open_data(); });
  timed("Planning", [&] { plan(); });
  StopSignals::throw_if_requested();
  folder_.emplace(run_dir());
  write_file_atomically(folder_->config_file(), config::to_yaml(config_));
  timed("Loading the model", [&] { load(); });
  timed("Encoding the " + workload_->subject(), [&] { workload_->prepare(Context(*runtime_), console_); });
  try {
    const TrainResult result = train();
    finish(result);
    return result.outcome == Outcome::finished ? kFinished : StopSignals::exit_code();
  } catch (const std::exception& e) {
    record_failure(e.what());
    throw;
  }
}

void Training::require_free_folder() const {
  if (command_.resume != "never" || command_.overwrite) return;
  const fs::path checkpoints = run_dir() / "checkpoints";
  const bool used = (fs::is_directory(checkpoints) && !fs::is_empty(checkpoints)) ||
                    fs::exists(run_dir() / result_name(config_));
  require<ConfigError>(!used, run_dir().string(),
                       ": holds an earlier run. Continue it with --resume auto, replace it with "
                       "--overwrite, or choose another output_dir");
}

void Training::clear_earlier_run() const {
  for (const fs::path& part : {folder_->checkpoints_dir(), folder_->samples_dir(), folder_->events_dir()}) {
    for (const auto& entry : fs::directory_iterator(part)) fs::remove_all(entry.path());
  }
  for (const char* file : {"report.html", kRunFactsFile}) fs::remove(run_dir() / file);
  for (const char* ending : {"", ".gguf"}) fs::remove_all(run_dir() / (result_name(config_) + ending));
}

void Training::open_data() {
  workload_->open_data(console_, facts_);
  max_steps_ = workload_->max_steps();
  steps_per_epoch_ = workload_->steps_per_epoch();
  facts_.max_steps = max_steps_;
}

void Training::plan() {
  PlanTarget target = plan_target(config_.machine);
  target.rates = [&] { return card_to_choose_by(config_); };
  budget_ = target.budget;
  plan_ = plan_within(config_, target, [&](const PlanTarget& one) { return workload_->start_plan(one); });
  const RunPlan& plan = plan_;
  require_fits(plan, config_, budget_, [&] {
    console_.info("The run does not fit; looking for settings that do");
    const auto with = [&](const Settings& settings) {
      return load_config(with_settings(command_.config, settings));
    };
    return suggestions_text(settings_that_fit(config_, with, target));
  });
  facts_.planned_peak = plan.peak;
  facts_.budget = budget_;
  facts_.step_memory = plan.trace;
  facts_.planned_step_flops = plan.step.flops;
  console_.info(fmt::format("Needs {} of {} memory; a full step is {} GFLOP", format_bytes(plan.peak),
                            format_bytes(budget_), format_compact(plan.step.flops * 1e-9)));
  if (const std::string how = policy_summary(plan); !how.empty()) console_.info(how);
}

void Training::load() {
  runtime_ = make_runtime(config_.machine, budget_);
  const fs::path page_dir = page_dir_of(config_);
  fs::create_directories(page_dir);
  remove_stale_page_files(page_dir, [&](const std::string& message) { console_.warn(message); });
  const WeightStreaming streaming{plan_.policy.streamed_units,
                                  {plan_.weights_in_host, plan_.weights_in_file, page_dir}};
  task_ = workload_->load(Context(*runtime_), streaming, facts_);
  StepMemory& memory = task_->step_memory();
  memory.policy = plan_.policy;
  if (plan_.pages_in_host + plan_.pages_in_file > 0) {
    memory.pages = std::make_shared<PageStore>(
        *runtime_, PageStore::Limits{plan_.pages_in_host, plan_.pages_in_file, page_dir});
  }
}

TrainResult Training::train() {
  runtime_->cost().clear();
  Trainer trainer(Context(*runtime_), *task_, train_options(config_, max_steps_));
  RunRecorder recorder(folder_->metrics_file(), folder_->events_dir());
  const std::int64_t epochs = (max_steps_ + steps_per_epoch_ - 1) / steps_per_epoch_;
  ConsoleObserver progress(console_, {epochs, budget_});
  FactsObserver noted(facts_);
  trainer.observe(recorder);
  trainer.observe(progress);
  trainer.observe(noted);
  if (command_.resume == "auto") {
    trainer.resume_latest();
  } else if (command_.resume != "never") {
    trainer.resume(command_.resume);
  }
  if (trainer.step() == 0) {
    clear_earlier_run();
  } else if (const auto before = read_run_facts(run_dir())) {
    facts_.first_validation = before->first_validation;
  }
  facts_.steps = trainer.step();
  write_run_facts(run_dir(), facts_);
  return trainer.run(StopSignals::requested());
}

void Training::note_operations() {
  constexpr std::size_t kShown = 12;
  for (const auto& [name, line] : runtime_->cost().lines()) {
    facts_.operations.push_back({name, line.calls, line.seconds, line.cost.flops, line.cost.bytes});
  }
  std::sort(facts_.operations.begin(), facts_.operations.end(),
            [](const OperationTime& a, const OperationTime& b) { return a.seconds > b.seconds; });
  if (facts_.operations.size() > kShown) facts_.operations.resize(kShown);
}

void Training::finish(const TrainResult& result) {
  const bool finished = result.outcome == Outcome::finished;
  double step_seconds = 0;
  for (const StepMetrics& m : read_metrics(folder_->metrics_file())) {
    if (m.step > result.first_step) step_seconds += m.seconds;
  }
  facts_.timings.emplace_back("Training steps", step_seconds);
  facts_.timings.emplace_back("Previews, validation, checkpoints",
                              std::max(0.0, result.seconds - step_seconds));
  facts_.outcome = finished ? "finished" : "stopped";
  facts_.result = result.result.string();
  facts_.steps = result.steps;
  facts_.skipped = result.skipped;
  facts_.seconds = result.total_seconds;
  facts_.measured_peak = result.device_peak;
  facts_.host_peak = result.host_peak;
  note_operations();
  write_run_facts(run_dir(), facts_);
  if (finished) workload_->illustrate(*folder_);
  const fs::path report = write_run_report(run_dir());
  if (finished) {
    console_.info(fmt::format("Finished {} steps in {}; report: {}", result.steps,
                              format_duration(result.total_seconds), report.string()));
  } else {
    console_.info(fmt::format("Stopped after step {}; checkpoint: {}; continue with --resume auto",
                              result.steps, result.checkpoint.string()));
  }
  print_result(result);
}

// The first error is what counts: one that comes up while telling of it only warns.
void Training::record_failure(const std::string& message) {
  try {
    facts_.outcome = "failed";
    facts_.message = message;
    facts_.measured_peak = runtime_->memory().high_water();
    write_run_facts(run_dir(), facts_);
    write_run_report(run_dir());
  } catch (const std::exception& e) {
    console_.warn(std::string("the failure could not be recorded: ") + e.what());
  }
}

void Training::print_result(const TrainResult& result) const {
  if (!command_.json) {
    if (!result.result.empty()) fmt::print("{}\n", result.result.string());
    return;
  }
  const auto loss = [](const std::optional<double>& v) {
    return v ? nlohmann::ordered_json(*v) : nlohmann::ordered_json();
  };
  const nlohmann::ordered_json json = {{"outcome", facts_.outcome},
                                       {"steps", result.steps},
                                       {"result", result.result.string()},
                                       {"checkpoint", result.checkpoint.string()},
                                       {"seconds", result.total_seconds},
                                       {"first_validation", loss(result.first_validation)},
                                       {"last_validation", loss(result.last_validation)},
                                       {"planned_peak_bytes", facts_.planned_peak},
                                       {"measured_peak_bytes", result.device_peak},
                                       {"host_peak_bytes", result.host_peak}};
  fmt::print("{}\n", json.dump(2));
}

}  // namespace

int run_train(const TrainCommand& command, Console& console) { return Training(command, console).execute(); }

}  // namespace rankine::app
