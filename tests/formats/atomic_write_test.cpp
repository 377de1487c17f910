// Durable writing under faults: the system calls are replaced by ones that fail on request.
#include "io/files/atomic_write.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdio>

#include "engine/core/error.h"
#include "tests/formats/format_files.h"

namespace {

// What the next calls do. -1: nothing special.
struct Faults {
  int failing_write = -1, write_error = 0;  // the write with this number (from 0) fails
  std::size_t most_bytes = SIZE_MAX;        // a write takes at most so many
  int interrupted_writes = 0;               // so many writes fail with EINTR first
  int failing_fsync = -1;
  bool failing_rename = false;
  int writes = 0, fsyncs = 0;
  bool armed = false;
};
Faults faults;

int fail(int error) {
  errno = error;
  return -1;
}

}  // namespace

extern "C" ssize_t write(int fd, const void* data, size_t size) {
  if (faults.armed) {
    if (faults.interrupted_writes > 0) {
      --faults.interrupted_writes;
      return fail(EINTR);
    }
    if (faults.writes++ == faults.failing_write) return fail(faults.write_error);
    size = std::min(size, faults.most_bytes);
  }
  return ::syscall(SYS_write, fd, data, size);
}

extern "C" int fsync(int fd) {
  if (faults.armed && faults.fsyncs++ == faults.failing_fsync) return fail(EIO);
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

extern "C" int rename(const char* from, const char* to) noexcept {
  if (faults.armed && faults.failing_rename) return fail(EACCES);
  return static_cast<int>(::syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

namespace rankine {
namespace {

class AtomicWrite : public testing::Test {
 protected:
  ~AtomicWrite() override { faults = {}; }
  // Writes "new content" over "old" with the faults that `arm` sets up.
  template <class Arm>
  std::string message_with(Arm arm) {
    path_ = folder_.file("file", "old");
    arm();
    faults.armed = true;
    const std::string message =
        test::message_of<IoError>([&] { write_file_atomically(path_, "new content"); });
    faults.armed = false;
    EXPECT_EQ(folder_.names(), std::vector<std::string>{"file"});
    return message;
  }
  test::TemporaryFolder folder_;
  std::filesystem::path path_;
};

TEST_F(AtomicWrite, WritesPartsInOrderAndReplaces) {
  const auto path = folder_.file("file", "old and longer than the new one");
  const std::string a = "one ", b, c = "two";
  const std::vector<std::span<const std::byte>> parts{test::as_bytes(a), test::as_bytes(b),
                                                      test::as_bytes(c)};
  write_file_atomically(path, parts);
  EXPECT_EQ(test::read_all(path), "one two");
  write_file_atomically(path, "");
  EXPECT_EQ(test::read_all(path), "");
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"file"});
}

TEST_F(AtomicWrite, FlushesFileAndFolder) {
  faults.armed = true;
  write_file_atomically(folder_.path() / "file", "x");
  EXPECT_EQ(faults.fsyncs, 2);
}

TEST_F(AtomicWrite, GoesOnAfterShortAndInterruptedWrites) {
  const std::string text(1000, 'x');
  faults.most_bytes = 7;
  faults.interrupted_writes = 3;
  faults.armed = true;
  write_file_atomically(folder_.path() / "file", text);
  faults.armed = false;
  EXPECT_EQ(test::read_all(folder_.path() / "file"), text);
}

TEST_F(AtomicWrite, AFailedWriteLeavesTheOldFile) {
  const std::string message =
      message_with([] { faults.failing_write = 2, faults.write_error = ENOSPC, faults.most_bytes = 3; });
  EXPECT_NE(message.find("No space left"), std::string::npos) << message;
  EXPECT_NE(message.find(folder_.path().string()), std::string::npos) << message;
  EXPECT_EQ(test::read_all(path_), "old");
}

TEST_F(AtomicWrite, AFailedFlushLeavesTheOldFileAndIsNotRetried) {
  message_with([] { faults.failing_fsync = 0; });
  EXPECT_EQ(faults.fsyncs, 1);
  EXPECT_EQ(test::read_all(path_), "old");
}

TEST_F(AtomicWrite, AFailedRenameLeavesTheOldFile) {
  message_with([] { faults.failing_rename = true; });
  EXPECT_EQ(test::read_all(path_), "old");
}

TEST_F(AtomicWrite, AFailedFolderFlushIsReportedWithTheNewFileInPlace) {
  message_with([] { faults.failing_fsync = 1; });
  EXPECT_EQ(faults.fsyncs, 2);
  EXPECT_EQ(test::read_all(path_), "new content");
}

TEST_F(AtomicWrite, TakesTheTemporaryNameOverFromAKilledProcess) {
  folder_.file(".tmp-file-" + std::to_string(::getpid()), "half");
  write_file_atomically(folder_.path() / "file", "whole");
  EXPECT_EQ(test::read_all(folder_.path() / "file"), "whole");
  EXPECT_EQ(folder_.names(), std::vector<std::string>{"file"});
}

TEST_F(AtomicWrite, RefusesWhatIsNoFileName) {
  EXPECT_THROW(write_file_atomically("", "x"), IoError);
  EXPECT_THROW(write_file_atomically(folder_.path() / "", "x"), IoError);
  EXPECT_THROW(write_file_atomically(folder_.path() / "..", "x"), IoError);
  EXPECT_THROW(write_file_atomically(folder_.path() / "missing" / "file", "x"), IoError);
  EXPECT_THROW(write_file_atomically(folder_.path(), "x"), IoError);
}

}  // namespace
}  // namespace rankine
