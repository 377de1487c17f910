// Damaged, incomplete, hostile and superfluous checkpoints.
#include <sys/wait.h>

#include <algorithm>
#include <fstream>

#include "engine/train/checkpoint.h"
#include "engine/train/durable.h"
#include "tests/train/train_fixture.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;

// In place: rewriting whole files makes some file systems flush each time.
void set_byte(const fs::path& file, std::size_t at, char value) {
  std::fstream out(file, std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(at));
  out.put(value);
}

void no_warning(const std::string& message) { ADD_FAILURE() << message; }

// A store with checkpoints of steps 10 and 20, each with a state and an adapter in a folder.
class CheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = fresh_folder("checkpoints");
    save(10);
    save(20);
  }
  fs::path save(std::int64_t step, std::int64_t keep = 0) {
    CheckpointStore store(folder_, keep);
    return store.save(
        {step, "model: m\nstep_is: " + std::to_string(step) + "\n", 1.25},
        [&](const fs::path& to) {
          set_bytes(to / "state.safetensors", "state of " + std::to_string(step));
          fs::create_directory(to / "adapter");
          set_bytes(to / "adapter" / "weights", std::string(300, 'w'));
        },
        no_warning);
  }
  std::int64_t latest(std::size_t expected_skips) {
    std::vector<SkippedCheckpoint> skipped;
    const auto found = CheckpointStore(folder_, 0).find_latest_valid(skipped);
    EXPECT_EQ(skipped.size(), expected_skips);
    for (const auto& s : skipped) EXPECT_FALSE(s.reason.empty());
    return found ? found->commit.step : -1;
  }
  fs::path folder_;
};

TEST_F(CheckpointTest, FindsTheNewest) {
  EXPECT_EQ(latest(0), 20);
  const Checkpoint c = verify_checkpoint(folder_ / "step-000020");
  EXPECT_EQ(c.commit.seconds, 1.25);
  EXPECT_EQ(c.commit.fingerprint, "model: m\nstep_is: 20\n");
  const std::vector<std::string> names = {"step-000010", "step-000020"};
  EXPECT_EQ(entries_of(folder_), names);
}

TEST_F(CheckpointTest, AnyFlippedByteOfAnyFileIsFound) {
  for (const char* name : {"state.safetensors", "adapter/weights", "commit.json"}) {
    const fs::path file = folder_ / "step-000020" / name;
    const std::string good = bytes_of(file);
    for (std::size_t i = 0; i < good.size(); ++i) {
      set_byte(file, i, static_cast<char>(good[i] ^ (1 << (i % 8))));
      ASSERT_EQ(latest(1), 10) << name << " byte " << i;
      set_byte(file, i, good[i]);
    }
    ASSERT_EQ(latest(0), 20);
  }
}

TEST_F(CheckpointTest, AnyCutOrGrownFileIsFound) {
  for (const char* name : {"state.safetensors", "adapter/weights", "commit.json"}) {
    const fs::path file = folder_ / "step-000020" / name;
    const std::string good = bytes_of(file);
    for (std::size_t length = good.size(); length-- > 0;) {
      fs::resize_file(file, length);
      ASSERT_EQ(latest(1), 10) << name << " cut to " << length;
    }
    set_bytes(file, good + " ");
    ASSERT_EQ(latest(1), 10) << name << " grown";
    fs::remove(file);
    ASSERT_EQ(latest(1), 10) << name << " gone";
    set_bytes(file, good);
    ASSERT_EQ(latest(0), 20);
  }
}

TEST_F(CheckpointTest, AllDamagedMeansNone) {
  for (const char* name : {"step-000010", "step-000020"}) set_bytes(folder_ / name / "commit.json", "{}");
  EXPECT_EQ(latest(2), -1);
}

TEST_F(CheckpointTest, UncommittedAndForeignFoldersAreIgnored) {
  fs::create_directory(folder_ / ".tmp-step-000030-1");
  fs::create_directory(folder_ / "step-x");
  fs::create_directory(folder_ / "my-step-000040");
  set_bytes(folder_ / "step-000050", "a file");
  EXPECT_EQ(latest(0), 20);
  fs::create_directory(folder_ / "step-000030");  // no commit.json
  EXPECT_EQ(latest(1), 20);
}

TEST_F(CheckpointTest, FolderUnderAnotherStepIsRefused) {
  fs::rename(folder_ / "step-000020", folder_ / "step-000025");
  EXPECT_EQ(latest(1), 10);
}

TEST_F(CheckpointTest, PruneKeepsTheNewestAndOnlyAfterTheNewOne) {
  EXPECT_EQ(save(30, 2), folder_ / "step-000030");
  std::vector<std::string> names = {"step-000020", "step-000030"};
  EXPECT_EQ(entries_of(folder_), names);
  CheckpointStore store(folder_, 1);
  const auto fails = [&](const fs::path& to) {
    set_bytes(to / "state.safetensors", "half");
    throw IoError("no space left");
  };
  EXPECT_THROW(store.save({40, "", 0}, fails, no_warning), IoError);
  EXPECT_EQ(entries_of(folder_), names);  // nothing pruned, nothing left behind
  EXPECT_EQ(latest(0), 30);
}

// Resumed from 10 because 20 was damaged: saving 15 must not count 20 as newer and drop 15.
TEST_F(CheckpointTest, PruneDoesNotCountLaterSteps) {
  set_bytes(folder_ / "step-000020" / "state.safetensors", "damaged");
  save(15, 1);
  const std::vector<std::string> names = {"step-000015", "step-000020"};
  EXPECT_EQ(entries_of(folder_), names);
  EXPECT_EQ(latest(1), 15);
  save(20, 1);  // replaces the damaged one
  EXPECT_EQ(entries_of(folder_), std::vector<std::string>{"step-000020"});
  EXPECT_EQ(latest(0), 20);
}

TEST_F(CheckpointTest, LeftoversAreRemoved) {
  fs::create_directories(folder_ / ".tmp-step-000030-77" / "inner");
  fs::create_directories(folder_ / ".old-step-000005-77");
  fs::create_directories(folder_ / ".mine");
  CheckpointStore(folder_, 0).remove_leftovers(no_warning);
  const std::vector<std::string> names = {".mine", "step-000010", "step-000020"};
  EXPECT_EQ(entries_of(folder_), names);
}

TEST_F(CheckpointTest, SaveWithoutAStateIsRefused) {
  CheckpointStore store(folder_, 0);
  EXPECT_THROW(store.save(
                   {30, "", 0}, [](const fs::path& to) { set_bytes(to / "other", "x"); }, no_warning),
               DataError);
  EXPECT_EQ(latest(0), 20);
}

TEST_F(CheckpointTest, LinksAreNotSaved) {
  CheckpointStore store(folder_, 0);
  const auto links = [](const fs::path& to) {
    set_bytes(to / "state.safetensors", "x");
    fs::create_symlink("/etc/hostname", to / "link");
  };
  EXPECT_THROW(store.save({30, "", 0}, links, no_warning), IoError);
}

TEST_F(CheckpointTest, NameOfACommitCannotLeaveTheFolder) {
  // A made-up commit with a valid checksum, whose state lies outside of the folder.
  const fs::path evil = folder_ / "step-000030";
  fs::create_directory(evil);
  CheckpointStore store(folder_, 0);
  std::string text = bytes_of(folder_ / "step-000020" / "commit.json");
  const std::size_t at = text.find("adapter/weights");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 15, "../../../secret");
  set_bytes(evil / "commit.json", text);
  EXPECT_EQ(latest(1), 20);
}

TEST(Durable, MakesAndPublishesFolders) {
  const fs::path root = fresh_folder("root");
  make_folder(root / "a" / "b" / "c");
  EXPECT_TRUE(fs::is_directory(root / "a" / "b" / "c"));
  make_folder(root / "a" / "b");
  set_bytes(root / "file", "x");
  EXPECT_THROW(make_folder(root / "file"), IoError);
  EXPECT_THROW(make_folder(root / "file" / "below"), IoError);
  EXPECT_THROW(sync_path(root / "nothing"), IoError);
  EXPECT_THROW(files_under(root / "nothing"), IoError);
  set_bytes(root / "a" / "file", "new");
  publish_entries(root / "a", root);
  EXPECT_EQ(bytes_of(root / "file"), "new");
  EXPECT_TRUE(fs::is_directory(root / "b" / "c"));
}

// A file stands where the checkpoints should go: the save fails with the path, and the run's earlier state
// stays.
TEST(CheckpointFailure, UnusableFolderIsAClearError) {
  auto options = toy_train_options(fresh_folder("run"));
  run_toy(options, {}, 5);
  fs::rename(options.run_dir / "checkpoints", options.run_dir / "kept");
  set_bytes(options.run_dir / "checkpoints", "in the way");
  try {
    run_toy(options);
    FAIL() << "saved into a file";
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("checkpoints"), std::string::npos) << e.what();
  }
  EXPECT_EQ(verify_checkpoint(options.run_dir / "kept" / "step-000005").commit.step, 5);
}

TEST(CheckpointFailure, DamagedNewestMeansTheOneBefore) {
  auto options = toy_train_options(fresh_folder("whole"));
  const std::string expected = bytes_of(run_toy(options).result.result);
  options.run_dir = fresh_folder("damaged");
  run_toy(options, {}, 12);
  const fs::path newest = options.run_dir / "checkpoints" / "step-000012" / "state.safetensors";
  std::string bytes = bytes_of(newest);
  bytes[bytes.size() - 3] ^= 16;
  set_bytes(newest, bytes);
  EventList list;
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task;
  Trainer trainer(Context(runtime), task, options);
  trainer.observe(list);
  EXPECT_TRUE(trainer.resume_latest());
  EXPECT_EQ(trainer.step(), 10);
  ASSERT_EQ(list.warnings.size(), 1U);
  EXPECT_NE(list.warnings[0].find("step-000012"), std::string::npos) << list.warnings[0];
  EXPECT_NE(list.warnings[0].find("SHA-256"), std::string::npos) << list.warnings[0];
  const std::atomic<bool> stop{false};
  EXPECT_EQ(bytes_of(trainer.run(stop).result), expected);
}

}  // namespace
}  // namespace rankine
