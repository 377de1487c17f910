#include "engine/tape/page_file.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <fstream>

#include "engine/core/error.h"
#include "tests/core/page_support.h"

namespace rankine {
namespace {
using namespace testing_support;
namespace fs = std::filesystem;

constexpr const char* kName = ".rankine-pages-123-0123456789abcdef";

TEST(PageFiles, HoldWhatIsWrittenWhereItIsWritten) {
  const ScratchFolder folder;
  const PageFile file(folder.path(), 3 << 20);
  const Bytes a = random_bytes((1 << 20) + 7, 1), b = random_bytes(1, 2);
  file.write(4096, a);
  file.write((3 << 20) - 1, b);
  Bytes back(a.size()), last(1);
  file.read(4096, back);
  file.read((3 << 20) - 1, last);
  file.read(3 << 20, {});
  EXPECT_EQ(back, a);
  EXPECT_EQ(last, b);
  EXPECT_THROW(file.write((3 << 20) - 1, a), std::logic_error);
  EXPECT_THROW(file.read(SIZE_MAX, last), std::logic_error);
}

TEST(PageFiles, AreNotListedWhileTheyAreInUse) {
  const ScratchFolder folder;
  const PageFile file(folder.path(), 1 << 20);
  EXPECT_TRUE(folder.entries().empty());
  EXPECT_EQ(file.path().parent_path(), folder.path());
  EXPECT_TRUE(file.path().filename().string().starts_with(join(".rankine-pages-", ::getpid(), "-")));
}

TEST(PageFiles, WhereTheNameStaysTheyArePrivateFullSizedAndRemovedAtTheEnd) {
  const ScratchFolder folder;
  FaultyCalls calls;
  calls.remove_error = EPERM;
  {
    const PageFile file(folder.path(), 1 << 20, calls);
    struct stat s {};
    ASSERT_EQ(::lstat(file.path().c_str(), &s), 0);
    EXPECT_EQ(s.st_mode & 07777, 0600U);
    EXPECT_EQ(s.st_size, 1 << 20);
    EXPECT_GE(s.st_blocks * 512, 1 << 20) << "space is taken up front";
    calls.remove_error = 0;
  }
  EXPECT_TRUE(folder.entries().empty());
}

TEST(PageFiles, AreFilledWhereSpaceCannotBeReserved) {
  const ScratchFolder folder;
  FaultyCalls calls;
  calls.allocate_error = EOPNOTSUPP;
  const PageFile file(folder.path(), (5 << 20) + 3, calls);
  EXPECT_EQ(calls.writes, 2);
  Bytes tail(3, std::byte{1});
  file.read(5 << 20, tail);
  EXPECT_EQ(tail, Bytes(3));
}

TEST(PageFiles, ADiskThatIsTooSmallIsSaidBeforeTheRun) {
  const ScratchFolder folder;
  const std::string message =
      message_of([&] { const PageFile file(folder.path(), std::size_t{1} << 60); });  // an exbibyte
  for (const char* part :
       {folder.path().c_str(), "1048576.0 TiB", "free on that disk", "page_dir", "memory_budget"})
    EXPECT_NE(message.find(part), std::string::npos) << message;
  EXPECT_TRUE(folder.entries().empty());
  EXPECT_THROW(PageFile(folder.path(), SIZE_MAX), IoError);
  EXPECT_THROW(PageFile(folder.path() / "missing", 1), IoError);
}

TEST(PageFiles, ALimitOnFileSizesIsAnErrorAndNoSignal) {
  const ScratchFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 1 << 20;
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &low), 0);
  const std::string message = message_of([&] { const PageFile file(folder.path(), (1 << 20) + 1); });
  const PageFile fits(folder.path(), 1 << 20);
  ::setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_NE(message.find("ulimit -f"), std::string::npos) << message;
}

TEST(PageFiles, ShortAndInterruptedCallsAreContinued) {
  const ScratchFolder folder;
  FaultyCalls calls;
  calls.most_per_call = 1000;
  calls.interrupt_every = 3;
  const PageFile file(folder.path(), 100000, calls);
  const Bytes a = random_bytes(77777, 3);
  file.write(11, a);
  Bytes back(a.size());
  file.read(11, back);
  EXPECT_EQ(back, a);
  EXPECT_EQ(calls.writes, 78);
  EXPECT_EQ(calls.reads, 78);
}

TEST(PageFiles, ErrorsNameTheFileTheRangeAndTheReason) {
  const ScratchFolder folder;
  FaultyCalls calls;
  const PageFile file(folder.path(), 1 << 20, calls);
  Bytes bytes(5000);
  const auto expect_parts = [&](const std::string& message, std::vector<std::string> parts) {
    for (const std::string& part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  calls.fail_write = 0;
  calls.error = ENOSPC;
  expect_parts(message_of([&] { file.write(4096, bytes); }),
               {file.path().string(), "write 5000 bytes at offset 4096", std::strerror(ENOSPC), "page_dir"});
  calls.fail_read = 0;
  calls.error = EIO;
  expect_parts(message_of([&] { file.read(8, bytes); }),
               {file.path().string(), "read 5000 bytes at offset 8", std::strerror(EIO)});
  calls.fail_read = 1;
  calls.at_end = true;
  EXPECT_THROW(file.read(8, bytes), IoError);
}

// ---- what crashes leave ----

// A process that makes a page file and then waits for its end.
class Child {
 public:
  Child(const fs::path& folder, int remove_error) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      FaultyCalls calls;
      calls.remove_error = remove_error;
      try {
        const PageFile file(folder, 1 << 20, calls);
        file.write(0, random_bytes(1000, 1));
        if (::write(ends[1], "x", 1) == 1) ::pause();
      } catch (const std::exception&) {
        ::_exit(1);
      }
      ::_exit(2);
    }
    char ready = 0;
    started_ = ::read(ends[0], &ready, 1) == 1;
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ~Child() { kill(); }
  bool started() const { return started_; }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  bool started_ = false;
};

struct Warnings {
  std::vector<std::string> all;
  std::function<void(const std::string&)> sink() {
    return [this](const std::string& w) { all.push_back(w); };
  }
};

TEST(PageFiles, AKilledProcessLeavesNothing) {
  const ScratchFolder folder;
  Child child(folder.path(), 0);
  ASSERT_TRUE(child.started());
  child.kill();
  EXPECT_TRUE(folder.entries().empty());
}

TEST(PageFiles, WhatAKilledProcessLeftIsRemovedButNotWhatALivingOneHolds) {
  const ScratchFolder folder;
  Child child(folder.path(), EPERM);
  ASSERT_TRUE(child.started());
  ASSERT_EQ(folder.entries().size(), 1U);
  Warnings warnings;
  EXPECT_EQ(remove_stale_page_files(folder.path(), warnings.sink()), 0U);
  EXPECT_EQ(folder.entries().size(), 1U);
  child.kill();
  EXPECT_EQ(folder.entries().size(), 1U);
  EXPECT_EQ(remove_stale_page_files(folder.path(), warnings.sink()), 1U);
  EXPECT_TRUE(folder.entries().empty());
  EXPECT_TRUE(warnings.all.empty());
}

TEST(PageFiles, OtherNamesAndOtherKindsOfFilesStay) {
  const ScratchFolder folder;
  const fs::path precious = folder.path() / "precious";
  std::ofstream(precious) << "data";
  for (const char* name : {".rankine-pages-", ".rankine-pages-1-", ".rankine-pages-x-0123456789abcdef",
                           ".rankine-pages-1-0123456789abcdeF", ".rankine-pages-1-0123456789abcdef0",
                           "rankine-pages-1-0123456789abcdef", ".rankine-pages--0123456789abcdef"})
    std::ofstream(folder.path() / name) << "data";
  fs::create_symlink(precious, folder.path() / ".rankine-pages-1-0000000000000001");
  fs::create_directory(folder.path() / ".rankine-pages-1-0000000000000002");
  ASSERT_EQ(::mkfifo((folder.path() / ".rankine-pages-1-0000000000000003").c_str(), 0600), 0);
  std::ofstream(folder.path() / kName) << "stale";
  const std::size_t before = folder.entries().size();
  Warnings warnings;
  EXPECT_EQ(remove_stale_page_files(folder.path(), warnings.sink()), 1U);
  EXPECT_EQ(folder.entries().size(), before - 1);
  EXPECT_FALSE(fs::exists(folder.path() / kName));
  EXPECT_TRUE(fs::exists(precious));
  EXPECT_EQ(warnings.all.size(), 3U) << "one each for the link, the folder and the pipe";
}

TEST(PageFiles, AFolderThatIsNotThereHoldsNone) {
  const ScratchFolder folder;
  Warnings warnings;
  EXPECT_EQ(remove_stale_page_files(folder.path() / "missing", warnings.sink()), 0U);
  EXPECT_TRUE(warnings.all.empty());
}

}  // namespace
}  // namespace rankine
