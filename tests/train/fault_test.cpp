// The run is killed anywhere, or the disk refuses in the middle of a write: whatever was acknowledged stays,
// and the resumed run ends in the bytes of one that was never touched.
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <optional>
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

// A child tells its parent where it is: a step is done, a checkpoint was acknowledged.
struct Report {
  enum Kind : std::int64_t { kStep, kSave } kind;
  std::int64_t step;
};

struct ChildOptions {
  std::int64_t stop_after = 0;   // step; 0: never
  bool record = true;            // metrics and events, as a real run
  std::int64_t file_limit = -1;  // bytes after which a write fails as on a full disk (EFBIG); -1: none
  bool led = false;              // after each step it waits for let_go()
};

// Trains in a child process.
class Child {
 public:
  explicit Child(const TrainOptions& options, const ChildOptions& child = {}) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) throw std::runtime_error("socketpair");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      ::_exit(train(options, child, ends[1]));
    }
    ::close(ends[1]);
    socket_ = ends[0];
  }
  ~Child() { ::close(socket_); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The next report; none once the child has ended and all are read.
  std::optional<Report> next() const {
    Report report;
    if (::recv(socket_, &report, sizeof report, MSG_WAITALL) != sizeof report) return std::nullopt;
    return report;
  }
  void let_go() const { ASSERT_EQ(::send(socket_, "", 1, MSG_NOSIGNAL), 1); }
  void kill() const { ::kill(pid_, SIGKILL); }
  // Exit code, or 1000 + signal. Reports that were not read are dropped.
  int wait() const {
    while (next()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  struct Reporter : TrainObserver {
    Reporter(const TrainOptions& options, int socket, bool led)
        : recorder(options.run_dir / "metrics.jsonl", options.run_dir / "events"), socket(socket), led(led) {}
    void on_start(const RunStart& start) override { recorder.on_start(start); }
    void on_step(const StepRecord& record) override {
      recorder.on_step(record);
      tell({Report::kStep, record.step});
      char go = 0;
      if (led && ::recv(socket, &go, 1, 0) != 1) ::_exit(9);
    }
    void on_before_save(std::int64_t step) override { recorder.on_before_save(step); }
    void on_save(std::int64_t step, const fs::path&) override { tell({Report::kSave, step}); }
    void tell(const Report& report) const {
      if (::send(socket, &report, sizeof report, MSG_NOSIGNAL) != sizeof report) ::_exit(9);
    }
    RunRecorder recorder;
    int socket;
    bool led;
  };

  static int train(const TrainOptions& options, const ChildOptions& child, int socket) {
    if (child.file_limit >= 0) {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit bound{static_cast<rlim_t>(child.file_limit), static_cast<rlim_t>(child.file_limit)};
      ::setrlimit(RLIMIT_FSIZE, &bound);
    }
    try {
      Reporter reporter(options, socket, child.led);
      run_toy(options, {}, child.stop_after, child.record ? &reporter : nullptr);
      return kFinished;
    } catch (const IoError&) {
      return kIoError;
    } catch (...) {
      return 8;
    }
  }
  int socket_ = -1;
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
    ASSERT_EQ(Child(whole_).wait(), kFinished);
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
};

// Lets a led child train to the report of `step`, then kills it somewhere between that and the report of the
// next step: before, in or after the checkpoint of `step`, or in the step that follows. Returns the newest
// checkpoint it acknowledged. The child waits at each step, so that no load of the machine carries it
// further.
std::int64_t kill_after(const Child& child, std::int64_t step, std::mt19937& random) {
  std::int64_t acknowledged = -1;
  std::chrono::duration<double> longest{0};  // from a let_go() to the next step
  bool alive = true;
  std::optional<Clock::time_point> gone;
  while (const auto report = child.next()) {
    if (report->kind == Report::kSave) acknowledged = report->step;
    if (report->kind == Report::kSave || !alive) continue;
    if (gone) longest = std::max<std::chrono::duration<double>>(longest, Clock::now() - *gone);
    gone = Clock::now();
    child.let_go();
    if (report->step < step) continue;
    std::this_thread::sleep_for(longest * std::uniform_real_distribution<double>(0, 1)(random));
    child.kill();
    alive = false;
  }
  return acknowledged;
}

TEST_F(FaultTest, KilledAnywhereEndsInTheSameBytes) {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < 4; ++round) {
    const auto options = many_saves(fresh_folder("killed"));
    std::int64_t intact = 0;
    for (int attempt = 0; attempt < 5; ++attempt) {
      const std::int64_t step = intact + 2 * std::uniform_int_distribution<int>(2, 8)(random);
      const Child child(options, {.led = true});
      const std::int64_t acknowledged = kill_after(child, step, random);
      ASSERT_EQ(child.wait(), 1000 + SIGKILL);
      intact = newest_intact(options.run_dir);
      ASSERT_GE(intact, acknowledged) << "an acknowledged checkpoint is gone";
      ASSERT_TRUE(intact == step - 2 || intact == step) << intact << " of " << step;
    }
    const Child last(options);
    ASSERT_EQ(last.wait(), kFinished);
    expect_same_end(options);
  }
}

// The disk refuses after so many bytes of a file, for every place in every file that a save writes.
TEST_F(FaultTest, RefusedWriteIsAClearErrorAndLosesNothing) {
  const auto options = many_saves(fresh_folder("full"));
  const auto state = whole_.run_dir / "checkpoints" / "step-000090" / "state.safetensors";
  const auto state_size = static_cast<std::int64_t>(fs::file_size(state));
  ASSERT_EQ(Child(options, {.stop_after = 40}).wait(), kFinished);
  ASSERT_EQ(newest_intact(options.run_dir), 40);
  const auto checkpoints = entries_of(options.run_dir / "checkpoints");
  for (std::int64_t limit = 0; limit < state_size; limit += 97) {
    ASSERT_EQ(Child(options, {.record = false, .file_limit = limit}).wait(), kIoError) << limit;
    ASSERT_EQ(newest_intact(options.run_dir), 40) << limit;
    ASSERT_EQ(entries_of(options.run_dir / "checkpoints"), checkpoints) << limit;
  }
  const Child last(options);
  ASSERT_EQ(last.wait(), kFinished);
  expect_same_end(options);
}

}  // namespace
}  // namespace rankine
