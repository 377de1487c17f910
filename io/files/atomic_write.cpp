#include "io/files/atomic_write.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>

#include "io/files/file_descriptor.h"

namespace rankine {
namespace {

// The temporary file; removed unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path path) : path_(std::move(path)), file_(create(path_)) {}
  ~TemporaryFile() {
    if (!kept_) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::span<const std::byte> bytes) {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // Linux writes at most 2 GiB a call
    while (!bytes.empty()) {
      const ssize_t n = ::write(file_.get(), bytes.data(), std::min(bytes.size(), kMost));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw_io_error(path_, "write", errno);
      if (n == 0) throw_io_error(path_, "write", ENOSPC);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
    }
  }

  void move_to(const std::filesystem::path& target) {
    if (::fsync(file_.get()) != 0) throw_io_error(path_, "flush to disk", errno);
    if (::close(file_.release()) != 0) throw_io_error(path_, "close", errno);
    if (::rename(path_.c_str(), target.c_str()) != 0) throw_io_error(target, "replace", errno);
    kept_ = true;
  }

 private:
  static int create(const std::filesystem::path& path) {
    constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    int fd = ::open(path.c_str(), kFlags, 0666);
    if (fd < 0 && errno == EEXIST) {  // left by a killed process that had our id
      ::unlink(path.c_str());
      fd = ::open(path.c_str(), kFlags, 0666);
    }
    if (fd < 0) throw_io_error(path, "create", errno);
    return fd;
  }

  std::filesystem::path path_;
  FileDescriptor file_;
  bool kept_ = false;
};

void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) throw_io_error(folder, "open the folder", errno);
  if (::fsync(fd.get()) != 0) throw_io_error(folder, "flush the folder to disk", errno);
}

}  // namespace

void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(const AppendBytes&)>& produce) {
  const std::string name = path.filename().string();
  require<IoError>(!name.empty() && name != "." && name != "..", "'", path.string(),
                   "': not the name of a file");
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  {
    TemporaryFile file(folder / join(".tmp-", name, "-", ::getpid()));
    produce([&](std::span<const std::byte> bytes) { file.write(bytes); });
    file.move_to(path);
  }
  sync_folder(folder);
}

void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts) {
  write_file_atomically(path, [&](const AppendBytes& append) {
    for (const auto& part : parts) append(part);
  });
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, [&](const AppendBytes& append) { append(std::as_bytes(std::span(text))); });
}

}  // namespace rankine
