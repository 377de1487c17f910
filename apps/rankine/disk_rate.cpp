#include "apps/rankine/disk_rate.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kPiece = std::size_t{4} << 20, kMost = std::size_t{128} << 20;
constexpr double kBudget = 0.4;  // seconds, of each way

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

class UnnamedFile {
 public:
  explicit UnnamedFile(const fs::path& folder) {
    std::string name = (folder / ".rankine-disk-XXXXXX").string();
    fd_ = ::mkstemp(name.data());
    require<IoError>(fd_ >= 0, folder.string(), ": cannot write a file to measure the disk");
    ::unlink(name.c_str());
  }
  ~UnnamedFile() { ::close(fd_); }
  UnnamedFile(const UnnamedFile&) = delete;
  UnnamedFile& operator=(const UnnamedFile&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

fs::path nearest_folder(const fs::path& wanted) {
  std::error_code error;
  fs::path folder = fs::absolute(wanted.empty() ? "." : wanted);
  while (!fs::is_directory(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

}  // namespace

double disk_rate(const fs::path& wanted) {
  const fs::path folder = nearest_folder(wanted);
  const UnnamedFile file(folder);
  std::vector<char> piece(kPiece);
  for (std::size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<char>(i * 2654435761U >> 13U);
  const auto start = Clock::now();
  std::size_t written = 0;
  while (written < kMost && (written == 0 || seconds_since(start) < kBudget)) {
    const ssize_t n = ::write(file.fd(), piece.data(), piece.size());
    require<IoError>(n > 0, folder.string(), ": cannot write a file to measure the disk");
    require<IoError>(::fdatasync(file.fd()) == 0, folder.string(),
                     ": the disk does not take what is written");
    written += static_cast<std::size_t>(n);
  }
  const double write_rate = static_cast<double>(written) / seconds_since(start);

  ::posix_fadvise(file.fd(), 0, 0, POSIX_FADV_DONTNEED);
  const auto again = Clock::now();
  std::size_t read = 0;
  while (read < written && (read == 0 || seconds_since(again) < kBudget)) {
    const ssize_t n = ::pread(file.fd(), piece.data(), piece.size(), static_cast<off_t>(read));
    require<IoError>(n > 0, folder.string(), ": cannot read back a file to measure the disk");
    read += static_cast<std::size_t>(n);
  }
  return std::min(write_rate, static_cast<double>(read) / seconds_since(again));
}

}  // namespace rankine::app
