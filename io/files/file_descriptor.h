// A POSIX file descriptor that closes itself, and the text of errno.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/core/error.h"

namespace rankine {

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

// Throws IoError "PATH: cannot ACTION: REASON (errno N)".
[[noreturn]] inline void throw_io_error(const std::filesystem::path& path, std::string_view action,
                                        int error) {
  throw IoError(join(path.string(), ": cannot ", action, ": ", std::generic_category().message(error),
                     " (errno ", error, ")"));
}

}  // namespace rankine
