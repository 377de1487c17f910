// Writes a run's record as it goes: one line of metrics.jsonl per step, and TensorBoard scalars and preview
// pictures. Both survive a resume: what an earlier start said about steps after the checkpoint is cut, so
// every step counts once. Lines are with the operating system at once and on the disk before a checkpoint of
// their step is committed.
#pragma once

#include <filesystem>
#include <optional>

#include "engine/train/observer.h"
#include "io/record/metrics_log.h"
#include "io/record/tensorboard.h"

namespace rankine {

class RunRecorder final : public TrainObserver {
 public:
  // `events` is a folder, made when it is missing; empty for no TensorBoard files. Opens nothing before
  // on_start. All calls may throw IoError.
  RunRecorder(std::filesystem::path metrics_file, std::filesystem::path events);

  void on_start(const RunStart& start) override;
  void on_step(const StepRecord& record) override;
  void on_validation(std::int64_t step, double loss) override;
  // PNG files only become pictures in TensorBoard; the tag is the file's name after its step prefix.
  void on_preview(std::int64_t step, const std::vector<std::filesystem::path>& files) override;
  void on_before_save(std::int64_t step) override;
  void on_finish(const TrainResult& result) override;

 private:
  void sync();

  std::filesystem::path metrics_file_, events_folder_;
  std::optional<MetricsLog> metrics_;
  std::optional<EventWriter> events_;
};

// What one step leaves in metrics.jsonl.
StepMetrics to_metrics(const StepRecord& record);

}  // namespace rankine
