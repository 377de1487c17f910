// A disk that fails while the tape is paged ends the run with a clear error and loses nothing: the last
// checkpoint is intact, and the run that goes on from it ends in the bytes of one that never failed.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <fstream>

#include "engine/train/trainer.h"
#include "models/tasks/diffusion_task.h"
#include "tests/models/memory_support.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using testing_support::PageFolder;

const std::string kRun = R"(
base_model: examples/sd-style/tiny-sd.safetensors
train_data_dir: examples/sd-style/data/style
resolution: 64
enable_bucket: false
cache_latents: false
batch_size: 1
max_steps: 4
output_dir: unused
)";

// From call number `first` on, every write (or read) fails with `error`.
class FailingCalls final : public FileCalls {
 public:
  FailingCalls(std::int64_t first, bool writes, int error) : first_(first), writes_(writes), error_(error) {}
  ssize_t write(int fd, const void* bytes, std::size_t count, off_t offset) override {
    return writes_ && fails() ? -1 : FileCalls::write(fd, bytes, count, offset);
  }
  ssize_t read(int fd, void* bytes, std::size_t count, off_t offset) override {
    return !writes_ && fails() ? -1 : FileCalls::read(fd, bytes, count, offset);
  }
  std::int64_t calls() const { return calls_; }

 private:
  bool fails() {
    if (calls_++ < first_) return false;
    errno = error_;
    return true;
  }
  std::int64_t first_;
  bool writes_;
  int error_;
  std::atomic<std::int64_t> calls_ = 0;
};

class MemoryFault : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::current_path(RANKINE_SOURCE_DIR);
    folder = fs::path(::testing::TempDir()) /
             (std::string("memory_fault_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  TrainOptions options(const std::string& name) const {
    TrainOptions o;
    o.run_dir = folder / name;
    o.result_name = "adapter.safetensors";
    o.max_steps = 4;
    o.save_steps = 1;
    o.seed = 42;
    return o;
  }
  // Trains with everything paged, from the newest checkpoint on; the bytes of the result.
  std::string train(const std::string& name, FileCalls& calls) {
    Runtime runtime(Device::cpu());
    Context c(runtime);
    const config::RunConfig k = parse_run_config(kRun, "test.yaml", {});
    DiffusionTask task(k, load_model(c, k, {}, {}), std::make_unique<ImageData>(k, 64, 8));
    StepMemory& memory = task.step_memory();
    memory.policy.others.page = true;
    memory.pages = std::make_shared<PageStore>(
        runtime, PageStore::Limits{0, std::size_t{64} << 20, pages.path()}, calls);
    Trainer trainer(c, task, options(name));
    trainer.resume_latest();
    const std::atomic<bool> stop = false;
    const TrainResult result = trainer.run(stop);
    std::ifstream in(result.result, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Fails at ten points of the run, each time in a run of its own that then goes on.
  void fail_at_ten_points(bool writes, int error, const std::string& reason) {
    FailingCalls counter(INT64_MAX, writes, error);
    const std::string whole = train("whole", counter);
    ASSERT_GT(counter.calls(), 100);
    std::int64_t resumed = 0;
    for (int point = 0; point < 10; ++point) {
      const std::string name = "broken" + std::to_string(point);
      FailingCalls failing(counter.calls() * (2 * point + 1) / 20, writes, error);
      SCOPED_TRACE(failing.calls());
      try {
        train(name, failing);
        ADD_FAILURE() << "the fault was not noticed";
      } catch (const IoError& e) {
        EXPECT_NE(std::string(e.what()).find(reason), std::string::npos) << e.what();
        EXPECT_NE(std::string(e.what()).find(pages.path().string()), std::string::npos) << e.what();
      }
      EXPECT_TRUE(fs::is_empty(pages.path()));
      const fs::path checkpoints = options(name).run_dir / "checkpoints";
      if (fs::exists(checkpoints) && !fs::is_empty(checkpoints)) ++resumed;
      EXPECT_TRUE(train(name, FileCalls::of_system()) == whole);
    }
    EXPECT_GE(resumed, 5);
  }

  fs::path folder;
  PageFolder pages;
};

TEST_F(MemoryFault, AFullDisk) { fail_at_ten_points(true, ENOSPC, "No space left"); }
TEST_F(MemoryFault, AReadError) { fail_at_ten_points(false, EIO, "Input/output error"); }

}  // namespace
}  // namespace rankine
