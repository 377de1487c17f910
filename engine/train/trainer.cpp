#include "engine/train/trainer.h"

#include <utility>

#include "engine/core/error.h"
#include "engine/train/durable.h"
#include "engine/train/facts.h"

namespace rankine {

namespace fs = std::filesystem;

namespace {

using Clock = std::chrono::steady_clock;
double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Context seeded(Context c, std::uint64_t seed) {
  c.seed = seed;
  return c;
}

}  // namespace

Trainer::Trainer(const Context& c, Task& task, TrainOptions options)
    : options_(checked(std::move(options))),
      c_(seeded(c, options_.seed)),
      task_(task),
      schedule_(options_.schedule),
      state_(c_, task, options_.adamw, options_.ema_decay),
      store_(options_.run_dir / "checkpoints", options_.keep_checkpoints),
      fingerprint_(fingerprint()) {}

void Trainer::resume(const fs::path& checkpoint) { take_up(verify_checkpoint(checkpoint)); }

bool Trainer::resume_latest() {
  std::vector<SkippedCheckpoint> passed_over;
  const auto found = store_.find_latest_valid(passed_over);
  for (const SkippedCheckpoint& s : passed_over) warn()(join(s.folder.string(), ": passed over: ", s.reason));
  if (found) take_up(*found);
  return found.has_value();
}

void Trainer::take_up(const Checkpoint& checkpoint) {
  require_same_run(checkpoint, fingerprint_);
  require<DataError>(checkpoint.commit.step <= options_.max_steps, checkpoint.folder.string(), ": has ",
                     checkpoint.commit.step, " steps, but this run ends after ", options_.max_steps);
  state_.load(c_, checkpoint.folder / CheckpointStore::kStateFile);
  require<DataError>(step() == checkpoint.commit.step, checkpoint.folder.string(), ": commit.json says step ",
                     checkpoint.commit.step, ", ", CheckpointStore::kStateFile, " says ", step());
  resumed_from_ = result_.checkpoint = checkpoint.folder;
  saved_step_ = step();
  seconds_before_ = checkpoint.commit.seconds;
  unfinished_ = checkpoint.commit.unfinished;
}

TrainResult Trainer::run(const std::atomic<bool>& stop) {
  begin(stop);
  while (step() < options_.max_steps && !stop) {
    train_one();
    do_what_is_due();
  }
  if (saved_step_ != step()) save();
  return finish(step() < options_.max_steps || unfinished_ ? Outcome::stopped : Outcome::finished);
}

void Trainer::begin(const std::atomic<bool>& stop) {
  start_ = Clock::now();
  task_.obey(StopFlag(stop));
  task_.warn_through(warn());
  make_folder(options_.run_dir);
  remove_leftovers(options_.run_dir, {".tmp-result-", ".old-" + options_.result_name + "-"}, warn());
  store_.remove_leftovers(warn());
  result_.first_step = step();
  tell([&](TrainObserver& o) {
    o.on_start({step(), options_.max_steps, state_.arena().numel(), resumed_from_, task_.unit()});
  });
  const bool again = std::exchange(unfinished_, false);
  if (step() == 0 || (again && due(options_.validation_steps))) validate();
  if (step() == 0 || (again && due(options_.preview_steps))) preview();
  if (again && !unfinished_) saved_step_ = -1;  // its checkpoint says that something is left to do
}

void Trainer::train_one() {
  const auto start = Clock::now();
  const std::uint64_t growths = c_.memory().growths();
  c_.runtime().traffic() = {};
  const double rate = schedule_.at(state_.counters().updates);
  const UpdateReport report = state_.update(c_, task_, rate, options_.max_grad_norm);
  StepRecord record = record_of(report, since(start));
  record.growths = c_.memory().growths() - growths;
  result_.losses.push_back(record.loss);
  if (due(options_.validation_steps)) record.validation_loss = validate();
  tell([&](TrainObserver& o) { o.on_step(record); });
  if (!report.skipped) return;
  const std::string reason =
      join("loss ", record.loss, ", gradient norm ", record.grad_norm, ": nothing was updated");
  tell([&](TrainObserver& o) { o.on_skip(record.step, reason); });
  require_progress(report);
}

void Trainer::require_progress(const UpdateReport& report) {
  if (state_.counters().bad_streak < kMaxBadStreak) return;
  const std::string last = result_.checkpoint.empty() ? "none was written yet" : result_.checkpoint.string();
  const std::string why = task_.why_not_finite(c_, step() - 1);
  throw Diverged(join("diverged at step ", step(), ": the loss or its gradient was not finite for ",
                      kMaxBadStreak, " steps in a row (loss ", report.loss, ", gradient norm ",
                      report.grad_norm, "); ", why.empty() ? "a lower learning_rate may help" : why,
                      "; last good checkpoint: ", last));
}

// The save comes last: when it is committed, nothing of this step is left to repeat.
void Trainer::do_what_is_due() {
  if (due(options_.preview_steps)) preview();
  if (due(options_.save_steps)) save();
}

bool Trainer::due(std::int64_t interval) const {
  return step() == options_.max_steps || (interval > 0 && step() % interval == 0);
}

std::string Trainer::fingerprint() {
  std::string text = valid_utf8(task_.fingerprint());
  if (!text.empty() && text.back() != '\n') text += '\n';
  return join(text, state_.facts(), "schedule: ", schedule_.describe(),
              "\nmax_grad_norm: ", exact(options_.max_grad_norm), "\nseed: ", options_.seed, "\n");
}

double Trainer::seconds() const { return since(start_); }

CheckpointStore::Warn Trainer::warn() {
  return [this](const std::string& message) { tell([&](TrainObserver& o) { o.on_warning(message); }); };
}

}  // namespace rankine
