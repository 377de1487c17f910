// The folder of one run and its lock. Layout:
//   config.yaml          the effective configuration, itself a run file
//   metrics.jsonl        one line per optimizer step
//   events/              TensorBoard event files
//   checkpoints/step-000100/   adapter and full training state; a marker file is written last
//   samples/             previews
//   report.html
//   .lock                held by the process that trains here
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/files/file_descriptor.h"

namespace rankine {

// [A-Za-z0-9._-]{1,100}, no leading dot: cannot leave its folder, hide, or surprise a shell.
bool is_safe_name(std::string_view name);
// Throws ConfigError naming `what` unless is_safe_name(name).
void require_safe_name(std::string_view what, std::string_view name);
// The nearest safe name: other characters become '_'; never empty.
std::string safe_name(std::string_view name);

class RunFolder {
 public:
  // Creates what is missing and locks the folder for this object. Throws IoError when it cannot be created or
  // another process (or object) holds it; the message names that process. The end of the process
  // frees the lock, whatever ended it.
  explicit RunFolder(const std::filesystem::path& root);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path config_file() const { return root_ / "config.yaml"; }
  std::filesystem::path metrics_file() const { return root_ / "metrics.jsonl"; }
  std::filesystem::path report_file() const { return root_ / "report.html"; }
  std::filesystem::path events_dir() const { return root_ / "events"; }
  std::filesystem::path checkpoints_dir() const { return root_ / "checkpoints"; }
  std::filesystem::path samples_dir() const { return root_ / "samples"; }
  // checkpoints/step-000100. Throws std::logic_error for a negative step.
  std::filesystem::path checkpoint_dir(std::int64_t step) const;
  // samples/step-000100_00_fox.png: `label` is made safe.
  std::filesystem::path sample_file(std::int64_t step, int index, std::string_view label) const;
  // Steps of the checkpoint folders that hold a file called `marker`, in rising order. Other names are
  // ignored.
  std::vector<std::int64_t> checkpoint_steps(std::string_view marker) const;

 private:
  std::filesystem::path root_;
  FileDescriptor lock_;
};

}  // namespace rankine
