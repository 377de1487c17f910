// report.html of a run folder, made from what lies in it.
#pragma once

#include <filesystem>

namespace rankine::app {

// What `rankine score --into` leaves in a run folder, for the report.
inline constexpr const char* kScoresFile = "scores.json";
// And `rankine eval`.
inline constexpr const char* kEvalFile = "eval.json";

// Needs config.yaml; metrics.jsonl, run.json and samples are used where they are. Returns the file.
std::filesystem::path write_run_report(const std::filesystem::path& run_dir);

}  // namespace rankine::app
