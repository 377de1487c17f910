// What a run tells the outside: progress lines, metrics files and trackers listen here. The trainer prints
// nothing. All calls come from the thread that runs the training, between two steps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rankine {

// A checkpoint folder that was passed over, and why.
struct SkippedCheckpoint {
  std::filesystem::path folder;
  std::string reason;
};

struct RunStart {
  std::int64_t first_step = 0;  // steps already done: 0, or those of the checkpoint
  std::int64_t max_steps = 0;
  std::int64_t parameters = 0;         // numbers that train
  std::filesystem::path resumed_from;  // empty for a new run
  std::string unit = "img";            // what StepRecord::samples counts
};

struct StepRecord {
  std::int64_t step = 0;  // steps done, counted from 1
  std::int64_t max_steps = 0;
  double epoch = 0;          // epochs finished, fractional
  double loss = 0;           // mean over the samples of the step
  double learning_rate = 0;  // base rate of this step; 0 for a skipped one
  double grad_norm = 0;      // global norm before clipping
  bool skipped = false;      // loss or gradient was not finite: nothing was updated
  std::int64_t samples = 0;
  double seconds = 0;                     // of this step, wall
  std::optional<double> validation_loss;  // when validation was due after this step
  std::uint64_t device_bytes = 0;         // held on the device after the step
  std::uint64_t device_peak = 0;          // bytes: high-water mark of the device's memory so far
  std::uint64_t device_budget = 0;        // bytes that it must not pass; 0: none
  std::uint64_t growths = 0;              // of the device's memory (Memory::growths) in this step
  std::uint64_t host_rss = 0;             // bytes resident now
  std::uint64_t host_peak = 0;            // most bytes ever resident
  // Of this step alone, bytes (engine/core/traffic.h):
  std::uint64_t tape_peak = 0;   // most that a tape had on the device at once
  std::uint64_t paged_peak = 0;  // most of a tape that was moved out at once
  std::uint64_t moved = 0;       // pages out and back in
  std::uint64_t streamed = 0;    // weights brought to the device
  // Seconds of this step that the program waited for pages, and for weights. Nothing where the device waited
  // for some and not the program (CUDA): nobody measured that.
  std::optional<double> waited_for_pages, waited_for_weights;
};

enum class Outcome : std::uint8_t { finished, stopped };

struct TrainResult {
  Outcome outcome = Outcome::finished;
  std::int64_t steps = 0;                                   // done in all, over every start of this run
  std::int64_t first_step = 0;                              // done before this start
  std::int64_t skipped = 0;                                 // bad steps among them, over every start
  double seconds = 0;                                       // of this start, wall
  double total_seconds = 0;                                 // of every start, up to the checkpoints they left
  std::vector<double> losses;                               // one per step of this start
  std::optional<double> first_validation, last_validation;  // of this start
  std::uint64_t device_peak = 0, host_peak = 0;             // bytes
  std::filesystem::path checkpoint;                         // the newest one
  std::filesystem::path result;                             // what users load; empty unless finished
};

class TrainObserver {
 public:
  virtual ~TrainObserver() = default;
  // Before the first step. A log of an earlier start must forget everything after `first_step`.
  virtual void on_start(const RunStart& start) {}
  // After every step (and its validation), also a skipped one: each step number comes once.
  virtual void on_step(const StepRecord& record) {}
  // In addition to on_step, for a step that was skipped.
  virtual void on_skip(std::int64_t step, const std::string& reason) {}
  // Comes before on_step of the same step; also for step 0, before training.
  virtual void on_validation(std::int64_t step, double loss) {}
  virtual void on_preview(std::int64_t step, const std::vector<std::filesystem::path>& files) {}
  // Just before the checkpoint of `step` is committed: make durable what you hold, it will not be repeated.
  virtual void on_before_save(std::int64_t step) {}
  virtual void on_save(std::int64_t step, const std::filesystem::path& checkpoint) {}
  // A file or folder could not be used or removed, but the run goes on.
  virtual void on_warning(const std::string& message) {}
  virtual void on_finish(const TrainResult& result) {}
};

}  // namespace rankine
