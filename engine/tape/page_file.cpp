#include "engine/tape/page_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iomanip>
#include <limits>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/memory.h"

namespace rankine {

namespace fs = std::filesystem;

ssize_t FileCalls::write(int fd, const void* bytes, std::size_t count, off_t offset) {
  return ::pwrite(fd, bytes, count, offset);
}
ssize_t FileCalls::read(int fd, void* bytes, std::size_t count, off_t offset) {
  return ::pread(fd, bytes, count, offset);
}
// Not posix_fallocate: where a file system cannot, that one writes a byte into every block.
int FileCalls::allocate(int fd, off_t bytes) { return ::fallocate(fd, 0, 0, bytes); }
int FileCalls::remove(int folder, const char* name) { return ::unlinkat(folder, name, 0); }

FileCalls& FileCalls::of_system() {
  static FileCalls calls;
  return calls;
}

namespace {

constexpr std::string_view kPrefix = ".rankine-pages-";
constexpr std::size_t kDigits = 16;                         // of the random part
constexpr std::size_t kMostPerCall = std::size_t{1} << 30;  // Linux moves less than 2 GiB per call

std::string text_of(int error) {
  return join(std::generic_category().message(error), " (errno ", error, ")");
}

std::string new_name() {
  std::random_device random;
  std::ostringstream name;
  name << kPrefix << ::getpid() << '-' << std::hex << std::setfill('0') << std::setw(8) << random()
       << std::setw(8) << random();
  return std::move(name).str();
}

bool is_page_file_name(std::string_view name) {
  if (!name.starts_with(kPrefix)) return false;
  name.remove_prefix(kPrefix.size());
  const std::size_t dash = name.find('-');
  if (dash == 0 || dash == std::string_view::npos || name.size() != dash + 1 + kDigits) return false;
  const auto all_of = [](std::string_view part, std::string_view allowed) {
    return part.find_first_not_of(allowed) == std::string_view::npos;
  };
  return all_of(name.substr(0, dash), "0123456789") && all_of(name.substr(dash + 1), "0123456789abcdef");
}

int lock(int fd, int how) {
  int result = 0;
  do result = ::flock(fd, how);
  while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

PageFile::PageFile(const fs::path& folder, std::size_t bytes, FileCalls& calls)
    : calls_(calls), path_(folder), bytes_(bytes) {
  if (bytes > static_cast<std::size_t>(std::numeric_limits<off_t>::max()))
    fail("make a page file in it", "no file can be that large", EFBIG);
  try {
    open_in(folder);
    take_space();
  } catch (...) {
    close();
    throw;
  }
}

PageFile::~PageFile() { close(); }

void PageFile::close() {
  if (listed_) calls_.remove(folder_, path_.filename().c_str());
  if (fd_ >= 0) ::close(fd_);
  if (folder_ >= 0) ::close(folder_);
}

void PageFile::open_in(const fs::path& folder) {
  folder_ = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_ < 0) fail("make a page file in it", text_of(errno), errno);
  for (int tries = 0; fd_ < 0; ++tries) {
    const std::string name = new_name();
    fd_ = ::openat(folder_, name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd_ < 0 && (errno != EEXIST || tries == 3)) fail("make a page file in it", text_of(errno), errno);
    if (fd_ >= 0) path_ = folder / name;
  }
  listed_ = true;
  // Waits for nobody but remove_stale_page_files(), which may have found the file before it was locked and
  // then takes its name away: that is what comes next anyhow. A file system without locks leaves it unlocked.
  lock(fd_, LOCK_EX);
  listed_ = calls_.remove(folder_, path_.filename().c_str()) != 0 && errno != ENOENT;
}

void PageFile::take_space() const {
  if (bytes_ == 0) return;
  rlimit most{};  // the system ends a process that goes beyond it
  if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY && bytes_ > most.rlim_cur)
    fail(join("take ", human_bytes(double(bytes_)), " of the disk"),
         join("files of this process may have ", human_bytes(double(most.rlim_cur)), " (ulimit -f)"), EFBIG);
  int result = 0;
  do result = calls_.allocate(fd_, static_cast<off_t>(bytes_));
  while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno == EOPNOTSUPP || errno == ENOSYS) return fill_with_zeros();
  fail(join("take ", human_bytes(double(bytes_)), " of the disk"), text_of(errno), errno);
}

void PageFile::fill_with_zeros() const {
  const std::vector<std::byte> zeros(std::min(bytes_, std::size_t{4} << 20));
  for (std::size_t at = 0; at < bytes_; at += zeros.size())
    write(at, std::span(zeros).first(std::min(zeros.size(), bytes_ - at)));
}

void PageFile::check_range(std::size_t offset, std::size_t count) const {
  if (offset > bytes_ || count > bytes_ - offset)
    throw std::logic_error(join(path_.string(), ": ", count, " bytes at offset ", offset,
                                " lie outside of a page file of ", bytes_, " bytes"));
}

void PageFile::write(std::size_t offset, std::span<const std::byte> bytes) const {
  check_range(offset, bytes.size());
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kMostPerCall);
    const ssize_t done = calls_.write(fd_, bytes.data(), count, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int error = done < 0 ? errno : ENOSPC;
      fail(join("write ", bytes.size(), " bytes at offset ", offset),
           done < 0 ? text_of(error) : "the system took no more bytes", error);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::size_t>(done);
  }
}

void PageFile::read(std::size_t offset, std::span<std::byte> bytes) const {
  check_range(offset, bytes.size());
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kMostPerCall);
    const ssize_t done = calls_.read(fd_, bytes.data(), count, static_cast<off_t>(offset));
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      const int error = done < 0 ? errno : EIO;
      fail(join("read ", bytes.size(), " bytes at offset ", offset),
           done < 0 ? text_of(error) : "the file ends before them: something cut it short", error);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::size_t>(done);
  }
}

void PageFile::fail(const std::string& action, const std::string& reason, int error) const {
  std::string room;
  struct statvfs disk {};
  if (folder_ >= 0 && ::fstatvfs(folder_, &disk) == 0)
    room = join(", ", human_bytes(double(disk.f_bavail) * double(disk.f_frsize)), " are free on that disk");
  const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
  throw IoError(join(path_.string(), ": cannot ", action, ": ", reason, "; the page file has ",
                     human_bytes(double(bytes_)), room,
                     full ? "; make room there, or set page_dir to a folder with more"
                          : "; set page_dir to a folder on another disk",
                     ", or memory_budget to a larger number, so that less is paged"));
}

// ---- what others left ----

namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

// Removes the name if nobody holds the file. What keeps it from doing so is returned; nothing when it may
// stay.
std::optional<std::string> remove_if_stale(int folder, const std::string& name, std::size_t& removed) {
  // Without waiting for the other end, should it be a pipe; a symbolic link is ELOOP. To write, because NFS
  // locks nothing else.
  const Descriptor fd(::openat(folder, name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (fd.get() < 0) return errno == ENOENT ? std::nullopt : std::optional(text_of(errno));
  struct stat held {
  }, named{};
  if (::fstat(fd.get(), &held) != 0) return text_of(errno);
  if (!S_ISREG(held.st_mode)) return "not a regular file";
  if (lock(fd.get(), LOCK_EX | LOCK_NB) != 0)
    return errno == EWOULDBLOCK ? std::nullopt : std::optional(text_of(errno));
  // The name may be another file's by now.
  if (::fstatat(folder, name.c_str(), &named, AT_SYMLINK_NOFOLLOW) != 0 || named.st_ino != held.st_ino ||
      named.st_dev != held.st_dev)
    return std::nullopt;
  if (::unlinkat(folder, name.c_str(), 0) != 0) return text_of(errno);
  ++removed;
  return std::nullopt;
}

}  // namespace

std::size_t remove_stale_page_files(const fs::path& folder,
                                    const std::function<void(const std::string&)>& warn) {
  const Descriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno != ENOENT) warn(join(folder.string(), ": not looked at for old page files: ", text_of(errno)));
    return 0;
  }
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (is_page_file_name(it->path().filename().string())) names.push_back(it->path().filename().string());
  }
  if (error) warn(join(folder.string(), ": not looked at for old page files: ", error.message()));
  std::size_t removed = 0;
  for (const std::string& name : names) {
    if (const auto problem = remove_if_stale(fd.get(), name, removed))
      warn(join((folder / name).string(), ": an old page file? It was not removed: ", *problem));
  }
  return removed;
}

}  // namespace rankine
