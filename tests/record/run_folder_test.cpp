// The layout of a run folder, its names and its lock.
#include "io/record/run_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "engine/core/error.h"

namespace rankine {
namespace {

std::filesystem::path fresh(const std::string& name) {
  auto path = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(path);
  return path;
}

TEST(RunFolderTest, CreatesTheLayout) {
  const auto root = fresh("run_layout") / "deep" / "run";
  const RunFolder run(root);
  EXPECT_TRUE(std::filesystem::is_directory(root / "checkpoints"));
  EXPECT_TRUE(std::filesystem::is_directory(root / "samples"));
  EXPECT_TRUE(std::filesystem::is_directory(root / "events"));
  EXPECT_EQ(run.config_file(), root / "config.yaml");
  EXPECT_EQ(run.checkpoint_dir(100), root / "checkpoints" / "step-000100");
  EXPECT_EQ(run.checkpoint_dir(12345678), root / "checkpoints" / "step-12345678");
  EXPECT_THROW(run.checkpoint_dir(-1), std::logic_error);
  EXPECT_EQ(run.sample_file(100, 3, "a red/fox"), root / "samples" / "step-000100_03_a_red_fox.png");
}

TEST(RunFolderTest, OnlyOneTrainerHoldsAFolder) {
  const auto root = fresh("run_lock");
  {
    RunFolder first(root);
    try {
      RunFolder second(root);
      FAIL();
    } catch (const IoError& e) {
      EXPECT_NE(std::string(e.what()).find(join("process ", ::getpid())), std::string::npos) << e.what();
    }
    const RunFolder moved(std::move(first));
    EXPECT_THROW(RunFolder again(root), IoError);  // the lock moved along
  }
  EXPECT_NO_THROW(RunFolder third(root));
}

TEST(RunFolderTest, AKilledTrainerLeavesNoLock) {
  const auto root = fresh("run_killed");
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunFolder held(root);
    [[maybe_unused]] const ssize_t n = ::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THROW(RunFolder busy(root), IoError);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_NO_THROW(RunFolder free(root));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(RunFolderTest, AFileInTheWayIsNamed) {
  const auto root = fresh("run_file");
  std::ofstream(root) << "x";
  EXPECT_THROW(RunFolder run(root), IoError);
}

TEST(RunFolderTest, ListsCommittedCheckpointsInOrder) {
  const RunFolder run(fresh("run_checkpoints"));
  for (const char* name :
       {"step-001000", "step-000100", "step-1000000", "step-000200", "step-20", "step-x", "other"}) {
    std::filesystem::create_directory(run.checkpoints_dir() / name);
    if (std::string(name) != "step-000200") std::ofstream(run.checkpoints_dir() / name / "DONE") << "";
  }
  EXPECT_EQ(run.checkpoint_steps("DONE"), (std::vector<std::int64_t>{100, 1000, 1000000}));
}

TEST(SafeNameTest, AcceptsAndMakesSafeNames) {
  for (const char* name : {"a", "My_LoRA-v1.2", "x.", "0"}) EXPECT_TRUE(is_safe_name(name)) << name;
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "a b", "ä", "a\n", "a:b"}) {
    EXPECT_FALSE(is_safe_name(name)) << name;
    EXPECT_TRUE(is_safe_name(safe_name(name))) << name;
  }
  EXPECT_FALSE(is_safe_name(std::string(101, 'a')));
  EXPECT_EQ(safe_name(std::string(200, 'a')), std::string(100, 'a'));
  EXPECT_EQ(safe_name("My LoRA: v1"), "My_LoRA__v1");
  EXPECT_THROW(require_safe_name("save_name", "../x"), ConfigError);
  EXPECT_NO_THROW(require_safe_name("save_name", "x"));
}

}  // namespace
}  // namespace rankine
