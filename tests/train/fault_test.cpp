// The run is killed anywhere, or the disk refuses in the middle of a write: whatever was acknowledged stays,
// and the resumed run ends in the bytes of one that was never touched.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <random>
#include <thread>

#include "engine/train/run_recorder.h"
#include "io/record/metrics_log.h"
#include "tests/train/train_fixture.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;
using Clock = std::chrono::steady_clock;

constexpr int kFinished = 0, kIoError = 3;

TrainOptions many_saves(const fs::path& run_dir) {
  auto options = toy_train_options(run_dir);
  options.max_steps = 90;
  options.save_steps = 2;
  options.keep_checkpoints = 2;
  options.ema_decay = 0.9;
  return options;
}

// Tells the parent, through a pipe, which checkpoints were acknowledged.
struct Acknowledger : TrainObserver {
  explicit Acknowledger(int fd) : fd(fd) {}
  void on_save(std::int64_t step, const fs::path&) override {
    if (::write(fd, &step, sizeof step) != sizeof step) ::_exit(9);
  }
  int fd;
};

struct ChildOptions {
  std::int64_t stop_after = 0;   // step; 0: never
  bool record = true;            // metrics and events, as a real run
  std::int64_t file_limit = -1;  // bytes after which a write fails as on a full disk (EFBIG); -1: none
};

// Trains in a child process.
class Child {
 public:
  explicit Child(const TrainOptions& options, const ChildOptions& child = {}) {
    if (::pipe(pipe_) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) ::_exit(train(options, child));
    ::close(pipe_[1]);
  }
  ~Child() { ::close(pipe_[0]); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void kill() const { ::kill(pid_, SIGKILL); }
  // Exit code, or 1000 + signal.
  int wait() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }
  // The newest acknowledged step; -1 for none. Call after wait().
  std::int64_t acknowledged() const {
    std::int64_t step = -1, next = 0;
    while (::read(pipe_[0], &next, sizeof next) == sizeof next) step = next;
    return step;
  }

 private:
  int train(const TrainOptions& options, const ChildOptions& child) const {
    if (child.file_limit >= 0) {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit bound{static_cast<rlim_t>(child.file_limit), static_cast<rlim_t>(child.file_limit)};
      ::setrlimit(RLIMIT_FSIZE, &bound);
    }
    try {
      Acknowledger acknowledger(pipe_[1]);
      RunRecorder recorder(options.run_dir / "metrics.jsonl", options.run_dir / "events");
      struct Both : TrainObserver {
        RunRecorder& recorder;
        Acknowledger& acknowledger;
        Both(RunRecorder& r, Acknowledger& a) : recorder(r), acknowledger(a) {}
        void on_start(const RunStart& s) override { recorder.on_start(s); }
        void on_step(const StepRecord& r) override { recorder.on_step(r); }
        void on_before_save(std::int64_t step) override { recorder.on_before_save(step); }
        void on_save(std::int64_t step, const fs::path& p) override { acknowledger.on_save(step, p); }
      } both(recorder, acknowledger);
      run_toy(options, {}, child.stop_after, child.record ? &both : nullptr);
      return kFinished;
    } catch (const IoError&) {
      return kIoError;
    } catch (...) {
      return 8;
    }
  }
  int pipe_[2] = {-1, -1};
  pid_t pid_ = -1;
};

std::int64_t newest_intact(const fs::path& run_dir) {
  std::vector<SkippedCheckpoint> skipped;
  const auto found = CheckpointStore(run_dir / "checkpoints", 0).find_latest_valid(skipped);
  EXPECT_TRUE(skipped.empty()) << "a partial folder has a final name: " << skipped[0].reason;
  return found ? found->commit.step : -1;
}

void expect_every_step_once(const fs::path& run_dir, std::int64_t steps) {
  const auto lines = read_metrics(run_dir / "metrics.jsonl");
  ASSERT_EQ(lines.size(), static_cast<std::size_t>(steps));
  for (std::size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i].step, static_cast<std::int64_t>(i) + 1);
}

class FaultTest : public ::testing::Test {
 protected:
  void SetUp() override {
    whole_ = many_saves(fresh_folder("whole"));
    const auto start = Clock::now();
    const Child child(whole_);
    ASSERT_EQ(child.wait(), kFinished);
    duration_ = std::chrono::duration<double>(Clock::now() - start).count();
    expected_ = bytes_of(whole_.run_dir / kResult);
  }
  void expect_same_end(const TrainOptions& options) {
    EXPECT_EQ(bytes_of(options.run_dir / kResult), expected_);
    EXPECT_EQ(bytes_of(options.run_dir / "checkpoints" / "step-000090" / "state.safetensors"),
              bytes_of(whole_.run_dir / "checkpoints" / "step-000090" / "state.safetensors"));
    expect_every_step_once(options.run_dir, options.max_steps);
    EXPECT_EQ(entries_of(options.run_dir / "checkpoints").size(), 2U);
  }

  TrainOptions whole_;
  std::string expected_;
  double duration_ = 0;  // seconds of one undisturbed run
};

TEST_F(FaultTest, KilledAnywhereEndsInTheSameBytes) {
  std::mt19937 random(std::random_device{}());
  int killed = 0, resumed_late = 0;
  for (int round = 0; round < 4; ++round) {
    const auto options = many_saves(fresh_folder("killed"));
    std::int64_t acknowledged = -1;
    for (int attempt = 0; attempt < 5; ++attempt) {
      const Child child(options);
      const double delay = std::uniform_real_distribution<double>(0, 0.5 * duration_)(random);
      std::this_thread::sleep_for(std::chrono::duration<double>(delay));
      child.kill();
      const int code = child.wait();
      ASSERT_TRUE(code == kFinished || code == 1000 + SIGKILL) << code;
      acknowledged = std::max(acknowledged, child.acknowledged());
      const std::int64_t intact = newest_intact(options.run_dir);
      ASSERT_GE(intact, acknowledged) << "an acknowledged checkpoint is gone";
      killed += code != kFinished;
      resumed_late += intact > 0;
    }
    const Child last(options);
    ASSERT_EQ(last.wait(), kFinished);
    expect_same_end(options);
  }
  EXPECT_GE(killed, 10);  // else nothing was tested
  EXPECT_GE(resumed_late, 5);
}

// The disk refuses after so many bytes of a file, for every place in every file that a save writes.
TEST_F(FaultTest, RefusedWriteIsAClearErrorAndLosesNothing) {
  const auto options = many_saves(fresh_folder("full"));
  const auto state = whole_.run_dir / "checkpoints" / "step-000090" / "state.safetensors";
  const auto state_size = static_cast<std::int64_t>(fs::file_size(state));
  ASSERT_EQ(Child(options, {40, true, -1}).wait(), kFinished);
  ASSERT_EQ(newest_intact(options.run_dir), 40);
  const auto checkpoints = entries_of(options.run_dir / "checkpoints");
  for (std::int64_t limit = 0; limit < state_size; limit += 97) {
    ASSERT_EQ(Child(options, {0, false, limit}).wait(), kIoError) << limit;
    ASSERT_EQ(newest_intact(options.run_dir), 40) << limit;
    ASSERT_EQ(entries_of(options.run_dir / "checkpoints"), checkpoints) << limit;
  }
  const Child last(options);
  ASSERT_EQ(last.wait(), kFinished);
  expect_same_end(options);
}

}  // namespace
}  // namespace rankine
