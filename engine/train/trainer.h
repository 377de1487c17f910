// The training loop. It drives a Task and knows no model: batch, forward, backward, norm, clip, update,
// average; and around it previews, validation, checkpoints, resume and an orderly stop.
//
// Files, all under TrainOptions::run_dir: checkpoints/ (see checkpoint.h), samples/ (previews), and at the
// end what save_result writes, under its own name. The bytes of that result are a function of task and
// options only: how often the run was stopped, killed and resumed changes nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/checkpoint.h"
#include "engine/train/observer.h"
#include "engine/train/train_options.h"
#include "engine/train/train_state.h"

namespace rankine {

class Trainer {
 public:
  // Steps in a row without a finite loss and gradient after which a run has diverged.
  static constexpr std::int64_t kMaxBadStreak = 25;

  // Allocates and initialises all that trains. `task` must outlive the trainer. Throws ConfigError for
  // options out of range.
  Trainer(const Context& c, Task& task, TrainOptions options);

  // Observers are called in the order they were added and must outlive the trainer. Add them before resuming.
  void observe(TrainObserver& observer) { observers_.push_back(&observer); }

  // Continues from a checkpoint folder. Throws DataError when it is damaged or belongs to another run (naming
  // the facts that differ), or has more steps than max_steps.
  void resume(const std::filesystem::path& checkpoint);
  // Continues from the newest intact checkpoint of run_dir and returns true; false when there is none.
  // Damaged ones are passed over with a warning.
  bool resume_latest();

  // Trains up to max_steps. When `stop` becomes true, finishes the step, saves a checkpoint and returns
  // `stopped`; validation and previews are cut short and made up for when the run is resumed. Throws Diverged
  // after kMaxBadStreak bad steps in a row, IoError when a file cannot be written, and whatever the task
  // throws; checkpoints written before stay valid.
  TrainResult run(const std::atomic<bool>& stop);

  // Steps done so far.
  std::int64_t step() const { return state_.counters().step; }
  TrainState& state() { return state_; }

 private:
  void take_up(const Checkpoint& checkpoint);
  void begin(const std::atomic<bool>& stop);
  Context looking() const;
  void train_one();
  void do_what_is_due();
  std::optional<double> validate();
  void preview();
  void save();
  std::filesystem::path publish_result();
  void write_result(const std::filesystem::path& path);
  TrainResult finish(Outcome outcome);
  bool due(std::int64_t interval) const;
  void require_progress(const UpdateReport& report);
  StepRecord record_of(const UpdateReport& report, double seconds) const;
  std::string fingerprint();
  CheckpointStore::Warn warn();
  double seconds() const;
  template <class Call>
  void tell(const Call& call) {
    for (TrainObserver* observer : observers_) call(*observer);
  }

  TrainOptions options_;
  Context c_;
  Task& task_;
  LrSchedule schedule_;
  TrainState state_;
  CheckpointStore store_;
  std::vector<TrainObserver*> observers_;
  std::string fingerprint_;
  std::filesystem::path resumed_from_;
  bool unfinished_ = false;       // validation or preview of this step was cut short
  double seconds_before_ = 0;     // of earlier starts
  std::int64_t saved_step_ = -1;  // the step that the newest checkpoint holds
  std::chrono::steady_clock::time_point start_;
  TrainResult result_;
};

}  // namespace rankine
