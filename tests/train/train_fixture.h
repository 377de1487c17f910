// Runs of the toy task in folders of their own.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "engine/train/trainer.h"
#include "tests/train/toy_task.h"

namespace rankine::testing_support {

// An empty folder of the running test.
std::filesystem::path fresh_folder(const std::string& name);

std::string bytes_of(const std::filesystem::path& file);
void set_bytes(const std::filesystem::path& file, const std::string& bytes);
// Names of the entries, sorted; empty when the folder is not there.
std::vector<std::string> entries_of(const std::filesystem::path& folder);

// What happened, in words: "start 0", "validation 0", "step 1", "skip 3", "save 10", ...
class EventList : public TrainObserver {
 public:
  void on_start(const RunStart& s) override { add("start", s.first_step); }
  void on_step(const StepRecord& r) override {
    add("step", r.step);
    records.push_back(r);
    if (after_step) after_step(r);
  }
  void on_skip(std::int64_t step, const std::string&) override { add("skip", step); }
  void on_validation(std::int64_t step, double) override { add("validation", step); }
  void on_preview(std::int64_t step, const std::vector<std::filesystem::path>&) override {
    add("preview", step);
  }
  void on_before_save(std::int64_t step) override { add("before save", step); }
  void on_save(std::int64_t step, const std::filesystem::path&) override { add("save", step); }
  void on_warning(const std::string& message) override { warnings.push_back(message); }
  void on_finish(const TrainResult&) override { events.push_back("finish"); }

  std::vector<std::string> events, warnings;
  std::vector<StepRecord> records;
  std::function<void(const StepRecord&)> after_step;

 private:
  void add(const std::string& what, std::int64_t step) {
    events.push_back(what + " " + std::to_string(step));
  }
};

inline constexpr const char* kResult = "toy.safetensors";

// 24 steps with cosine decay and warm-up, a checkpoint every 5.
TrainOptions toy_train_options(const std::filesystem::path& run_dir);

struct ToyRun {
  TrainResult result;
  std::vector<float> values;  // of the arena, in the end
};
// One start: resumes from the newest checkpoint if there is one, and stops after step `stop_after` (0:
// never).
ToyRun run_toy(const TrainOptions& options, const ToyOptions& toy = {}, std::int64_t stop_after = 0,
               TrainObserver* observer = nullptr);

}  // namespace rankine::testing_support
