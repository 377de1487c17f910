// What a run does around its steps: validation, previews, checkpoints, the result and the numbers of the
// record.
#include "engine/train/durable.h"
#include "engine/train/facts.h"
#include "engine/train/resources.h"
#include "engine/train/trainer.h"

namespace rankine {

namespace fs = std::filesystem;

StepRecord Trainer::record_of(const UpdateReport& report, double seconds) const {
  const HostMemory host = host_memory();
  StepRecord record;
  record.step = step();
  record.max_steps = options_.max_steps;
  record.epoch = report.stats.epoch;
  record.loss = report.loss;
  record.learning_rate = report.learning_rate;
  record.grad_norm = report.grad_norm;
  record.skipped = report.skipped;
  record.samples = report.stats.samples;
  record.seconds = seconds;
  record.device_bytes = c_.memory().held();
  record.device_peak = c_.memory().high_water();
  if (c_.memory().budget() != Memory::kUnlimited) record.device_budget = c_.memory().budget();
  record.host_rss = host.rss;
  record.host_peak = host.peak;
  const Traffic& traffic = c_.runtime().traffic();
  record.tape_peak = traffic.tape_peak;
  record.paged_peak = traffic.paged_peak;
  record.moved = traffic.moved();
  record.streamed = traffic.streamed;
  const bool program_waits = !c_.device().is_cuda();
  if (program_waits || record.moved == 0) record.waited_for_pages = traffic.waited_for_pages;
  if (program_waits || record.streamed == 0) record.waited_for_weights = traffic.waited_for_weights;
  return record;
}

// Where validation and previews run: with the same noise every time.
Context Trainer::looking() const {
  Context c = c_;
  c.step = c.first_sample = 0;
  return c;
}

std::optional<double> Trainer::validate() {
  Context c = looking();
  std::optional<double> loss;
  try {
    const EmaInPlace average(c, state_.arena(), state_.ema());
    loss = task_.validate(c);
  } catch (const Interrupted&) {
    unfinished_ = true;
  }
  if (!loss) return loss;
  if (!result_.first_validation) result_.first_validation = loss;
  result_.last_validation = loss;
  tell([&](TrainObserver& o) { o.on_validation(step(), *loss); });
  return loss;
}

void Trainer::preview() {
  const fs::path folder = options_.run_dir / "samples";
  make_folder(folder);
  Context c = looking();
  std::vector<fs::path> files;
  try {
    const EmaInPlace average(c, state_.arena(), state_.ema());
    files = task_.preview(c, step(), folder);
  } catch (const Interrupted&) {
    unfinished_ = true;
  }
  if (!files.empty()) tell([&](TrainObserver& o) { o.on_preview(step(), files); });
}

void Trainer::save() {
  tell([&](TrainObserver& o) { o.on_before_save(step()); });
  const auto write = [&](const fs::path& folder) {
    write_result(folder / options_.result_name);
    state_.save(folder / CheckpointStore::kStateFile);
  };
  result_.checkpoint =
      store_.save({step(), fingerprint_, seconds_before_ + seconds(), unfinished_}, write, warn());
  saved_step_ = step();
  tell([&](TrainObserver& o) { o.on_save(step(), result_.checkpoint); });
}

void Trainer::write_result(const fs::path& path) {
  const TrainCounters& n = state_.counters();
  const EmaInPlace average(c_, state_.arena(), state_.ema());
  task_.save_result(c_, path, {{"steps", std::to_string(n.step)}, {"epoch", exact(n.epoch)}});
}

fs::path Trainer::publish_result() {
  const TemporaryFolder made(options_.run_dir / private_name(".tmp-", "result"));
  write_result(made.path() / options_.result_name);
  sync_tree(made.path());
  publish_entries(made.path(), options_.run_dir);
  return options_.run_dir / options_.result_name;
}

TrainResult Trainer::finish(Outcome outcome) {
  task_.obey({});
  task_.warn_through({});
  if (outcome == Outcome::finished) result_.result = publish_result();
  result_.outcome = outcome;
  result_.steps = step();
  result_.skipped = state_.counters().skipped;
  result_.seconds = seconds();
  result_.total_seconds = seconds_before_ + result_.seconds;
  result_.device_peak = c_.memory().high_water();
  result_.host_peak = host_memory().peak;
  tell([&](TrainObserver& o) { o.on_finish(result_); });
  return result_;
}

}  // namespace rankine
