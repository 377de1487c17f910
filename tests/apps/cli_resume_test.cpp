// Runs that are stopped, killed and continued end in the same bytes as one that never was.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/apps/process.h"
#include "tests/apps/tiny_run.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

constexpr int kSteps = 30;

std::ptrdiff_t lines_of(const fs::path& file) {
  const std::string text = file_text(file);
  return std::count(text.begin(), text.end(), '\n');
}

// Starts `args` and sends `signal` once the run has logged `lines` steps.
Finished interrupted(const TinyRun& tiny, std::vector<std::string> args, std::ptrdiff_t lines, int signal) {
  Process process(args, tiny.root());
  while (process.running() && lines_of(tiny.out() / "metrics.jsonl") < lines)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  process.send(signal);
  return process.wait();
}

TEST(CliResume, StoppedAndKilledRunsEndInTheSameBytes) {
  const TinyRun whole("resume_whole", kSteps), broken("resume_broken", kSteps);
  ASSERT_EQ(rankine_run({"train", whole.config()}, whole.root()).code, 0);

  const Finished stopped = interrupted(broken, {"train", broken.config()}, 3, SIGINT);
  EXPECT_EQ(stopped.code, 130) << stopped.err;
  EXPECT_FALSE(fs::exists(broken.out() / "model.safetensors"));
  EXPECT_FALSE(fs::is_empty(broken.out() / "checkpoints")) << "a stop leaves a checkpoint";
  const std::vector<std::string> resume{"train", broken.config(), "--resume", "auto"};
  const Finished terminated = interrupted(broken, resume, 8, SIGTERM);
  EXPECT_EQ(terminated.code, 143) << terminated.err;
  const Finished killed = interrupted(broken, resume, 16, SIGKILL);
  EXPECT_EQ(killed.code, 1000 + SIGKILL) << killed.err;
  const Finished finished = rankine_run(resume, broken.root());
  ASSERT_EQ(finished.code, 0) << finished.err;

  EXPECT_EQ(lines_of(broken.out() / "metrics.jsonl"), kSteps) << "every step is logged once";
  // Only the folder's name may differ, and it stands in neither file.
  EXPECT_TRUE(file_text(whole.out() / "model.safetensors") == file_text(broken.out() / "model.safetensors"));
  const std::string state = "checkpoints/step-0000" + std::to_string(kSteps) + "/state.safetensors";
  EXPECT_TRUE(file_text(whole.out() / state) == file_text(broken.out() / state));
}

TEST(CliResume, AStopDoesNotWaitForPreviews) {
  const TinyRun tiny("resume_previews", 2);
  const std::vector<std::string> train{"train", tiny.config(), "--resume", "auto"};
  std::vector<std::string> slow = train;
  slow.insert(slow.end(), {"--set", "sample_count_steps=1000"});  // seconds for each of the two pictures
  Process process(slow, tiny.root());
  const fs::path samples = tiny.out() / "samples";
  while (process.running() && !fs::exists(samples / "step-000000-1.png"))
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  process.send(SIGTERM);
  const Finished stopped = process.wait();
  EXPECT_EQ(stopped.code, 143) << stopped.err;
  EXPECT_FALSE(fs::exists(samples / "step-000000-2.png"));
  EXPECT_TRUE(fs::exists(tiny.out() / "checkpoints/step-000000/commit.json"));
  ASSERT_EQ(rankine_run(train, tiny.root()).code, 0);
  EXPECT_TRUE(fs::exists(samples / "step-000000-2.png"));
  EXPECT_TRUE(fs::exists(tiny.out() / "model.safetensors"));
}

TEST(CliResume, ACheckpointOfAnotherRunIsRefused) {
  const TinyRun tiny("resume_other", 2);
  ASSERT_EQ(rankine_run({"train", tiny.config()}, tiny.root()).code, 0);
  const Finished f =
      rankine_run({"train", tiny.config(), "--resume", "auto", "--set", "seed=7"}, tiny.root());
  EXPECT_EQ(f.code, 3);
  EXPECT_NE(f.err.find("seed"), std::string::npos) << f.err;
}

}  // namespace
}  // namespace rankine
