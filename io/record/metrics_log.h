// metrics.jsonl: one JSON object per optimizer step, appended and flushed as the run goes, every step once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/record/append_file.h"

namespace rankine {

inline constexpr int kMetricsVersion = 1;  // the "v" of each line; grows when a key changes its meaning

// What is known after an optimizer step. Lines of older versions may lack the numbers about memory: they are
// read as 0, and nothing. A NaN or infinite number is written as null and read back as NaN.
struct StepMetrics {
  std::int64_t step = 0;  // from 1
  double epoch = 0;       // epochs done, with fraction
  double loss = 0;
  double learning_rate = 0;
  double grad_norm = 0;  // before clipping
  double seconds = 0;    // wall time of this step
  double samples_per_second = 0;
  std::uint64_t memory_bytes = 0;       // in use on the device
  std::uint64_t peak_memory_bytes = 0;  // since the start
  std::uint64_t budget_bytes = 0;       // that the peak must not pass; 0, written as null: none
  // Of this step alone; docs/memory.md says how each is measured.
  std::uint64_t tape_peak_bytes = 0;     // most activations for backward on the device at once
  std::uint64_t paged_bytes = 0;         // most of them moved out at once
  std::uint64_t moved_bytes = 0;         // of them, out and back in
  std::optional<double> waited_seconds;  // for them; nothing, written as null: not measured
  std::uint64_t streamed_bytes = 0;      // of weights, brought to the device
  std::optional<double> streamed_waited_seconds;
  std::uint64_t growths = 0;  // times that more of the device's memory was used than ever before
  std::vector<std::pair<std::string, double>>
      extra;  // for example validation_loss; not one of the names above
};

// One line, without the line break. Keys are in the order of the struct, after "v".
std::string to_json_line(const StepMetrics& metrics);

class MetricsLog {
 public:
  // Opens or creates the log of a run that goes on after `resume_step` (0: from the start). Lines of later
  // steps, lines that are no metrics, repeated steps and a torn last line are removed; the rest stays byte
  // for byte. The file is replaced atomically when something has to go. Throws IoError.
  MetricsLog(const std::filesystem::path& path, std::int64_t resume_step);

  // Throws std::logic_error unless metrics.step is larger than the last one in the file, IoError when writing
  // fails.
  void append(const StepMetrics& metrics);
  void sync() { file_.sync(); }
  std::int64_t last_step() const { return last_step_; }

 private:
  std::int64_t last_step_;
  AppendFile file_;
};

// All steps of a log. A torn last line is left out. Throws IoError, or DataError with file and line for
// another bad line or for a line of a newer version.
std::vector<StepMetrics> read_metrics(const std::filesystem::path& path);

}  // namespace rankine
