// report.html: one page that says what a run was and what came of it. It needs no network, holds no script,
// follows the reader's light or dark setting, and prints well. Every text is escaped; the caller passes plain
// UTF-8.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/memory_trace.h"
#include "io/record/metrics_log.h"

namespace rankine {

enum class RunOutcome { finished, stopped, failed };

struct ReportTable {
  std::string title;
  std::string note;  // a sentence under the title; may be empty
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // cells that read as numbers are set to the right
};

// The same prompt before and after training. Pictures are whole PNG files.
struct ReportSample {
  std::string prompt;
  std::string details;  // "euler, 25 steps, cfg 7, seed 42, 512 x 512"
  std::optional<std::string> before_png;
  std::optional<std::string> after_png;
};

// A named number about quality, for example a style score.
struct ReportScore {
  std::string name;
  std::string meaning;
  std::optional<double> before;
  double after = 0;
  bool higher_is_better = true;
  std::string unit;
};

struct ReportPlan {  // forecast against measurement
  std::string name;  // "Peak memory"
  double planned = 0;
  double measured = 0;
  std::string unit;  // "GiB"
};

struct ReportData {
  std::string title;     // name of the run
  std::string subtitle;  // model, device, date
  RunOutcome outcome = RunOutcome::finished;
  std::string outcome_text;                                  // "Finished after 1,000 steps."
  std::vector<std::pair<std::string, std::string>> summary;  // tiles: ("Wall time", "12m 30s")
  std::vector<std::string> warnings;
  std::vector<ReportSample> samples;
  std::vector<ReportScore> scores;
  std::vector<StepMetrics> metrics;
  std::vector<std::pair<double, double>> validation_loss;  // (step, loss)
  std::vector<std::pair<std::string, double>> timings;     // (phase, seconds)
  MemoryTrace step_memory;                                 // planned, of one micro-step; empty: not known
  std::uint64_t budget_bytes = 0;                          // of the device; 0: none
  std::vector<ReportPlan> plan;
  std::vector<std::pair<std::string, std::string>> dataset;  // ("Pictures", "48")
  std::vector<std::pair<std::string, std::string>> config;   // to_key_values(config)
  std::vector<ReportTable> tables;                           // anything else, at the end
  std::string footer;                                        // version of the program
};

// The whole page. Parts without data are left out.
std::string render_report(const ReportData& data);

}  // namespace rankine
