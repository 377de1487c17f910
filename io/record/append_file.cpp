#include "io/record/append_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace rankine {
namespace {

int open_for_append(const std::filesystem::path& path, AppendFile::Mode mode) {
  const int exclusive = mode == AppendFile::Mode::create_new ? O_EXCL : 0;
  const int fd = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | exclusive, 0644);
  if (fd < 0) throw_io_error(path, "open for appending", errno);
  return fd;
}

}  // namespace

AppendFile::AppendFile(const std::filesystem::path& path, Mode mode)
    : path_(path), fd_(open_for_append(path, mode)) {}

void AppendFile::append(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd_.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_io_error(path_, "append", errno);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

void AppendFile::sync() {
  if (::fsync(fd_.get()) != 0) throw_io_error(path_, "flush to disk", errno);
}

}  // namespace rankine
