#include "tests/train/train_fixture.h"

#include <algorithm>
#include <fstream>
#include <iterator>

namespace rankine::testing_support {

namespace fs = std::filesystem;

fs::path fresh_folder(const std::string& name) {
  const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
  const fs::path folder = fs::path(::testing::TempDir()) / "rankine_train" /
                          (std::string(test->test_suite_name()) + "." + test->name()) / name;
  fs::remove_all(folder);
  fs::create_directories(folder);
  return folder;
}

std::string bytes_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  EXPECT_TRUE(in.good()) << file;
  return {std::istreambuf_iterator<char>(in), {}};
}

void set_bytes(const fs::path& file, const std::string& bytes) {
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::vector<std::string> entries_of(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error))
    names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

TrainOptions toy_train_options(const fs::path& run_dir) {
  TrainOptions options;
  options.run_dir = run_dir;
  options.result_name = kResult;
  options.max_steps = 24;
  options.schedule.kind = config::LrScheduler::cosine;
  options.schedule.learning_rate = 1e-2;
  options.schedule.warmup_steps = 3;
  options.save_steps = 5;
  options.validation_steps = 8;
  options.seed = 7;
  return options;
}

ToyRun run_toy(const TrainOptions& options, const ToyOptions& toy, std::int64_t stop_after,
               TrainObserver* observer) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task(toy);
  Trainer trainer(Context(runtime), task, options);
  std::atomic<bool> stop{false};
  EventList list;
  list.after_step = [&](const StepRecord& r) { stop = r.step == stop_after; };
  trainer.observe(list);
  if (observer) trainer.observe(*observer);
  trainer.resume_latest();
  ToyRun run{trainer.run(stop), {}};
  const auto values = trainer.state().arena().value().span<float>();
  run.values.assign(values.begin(), values.end());
  return run;
}

}  // namespace rankine::testing_support
