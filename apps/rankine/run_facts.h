// run.json of a run folder: what the metrics do not say. From it, the metrics and the samples a report can be
// made again at any time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/memory_trace.h"

namespace rankine::app {

struct OperationTime {
  std::string name;
  std::uint64_t calls = 0;
  double seconds = 0, flops = 0, bytes = 0;
};

struct RunFacts {
  std::string version;              // of the program
  std::string model, processor;     // names
  std::string started;              // UTC, ISO 8601
  std::string outcome = "running";  // running, finished, stopped, failed
  std::string message;              // why it failed
  std::string result;               // file that users load; empty unless finished
  std::int64_t steps = 0, max_steps = 0, parameters = 0, skipped = 0;
  double seconds = 0;                                                // of training, over every start
  std::optional<double> first_validation;                            // before the first step
  std::uint64_t planned_peak = 0, measured_peak = 0, host_peak = 0;  // bytes
  double planned_step_flops = 0;
  std::vector<std::pair<std::string, double>> timings;       // (part of this start, seconds)
  std::vector<std::pair<std::string, std::string>> dataset;  // ("Pictures", "48")
  std::vector<std::string> warnings;
  std::vector<OperationTime> operations;  // the slowest of this start
  std::uint64_t budget = 0;               // bytes that the device's memory must not pass; 0: not known
  MemoryTrace step_memory;                // planned, of one micro-step of the shape that needs most
};

inline constexpr const char* kRunFactsFile = "run.json";

// Durable. Throws IoError.
void write_run_facts(const std::filesystem::path& run_dir, const RunFacts& facts);
// Nothing when there is no such file; throws DataError when it cannot be understood.
std::optional<RunFacts> read_run_facts(const std::filesystem::path& run_dir);

}  // namespace rankine::app
