// A file for pages of the tape: a private stretch of disk that belongs to one process and vanishes with it.
//
// It is made in a folder of the user's under the name `.rankine-pages-<pid>-<16 hex digits>`, readable by its
// owner alone, locked (flock), and at once removed from the folder again: the space stays the process's until
// the file is closed, and the system takes it back however the process ends. Space is taken when the file is
// made, so that a full disk is known before a run starts and not in the middle of it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace rankine {

// The calls of the system that can fail while a page file is in use, with their POSIX meaning. Tests put
// others in their place. Called by several threads.
class FileCalls {
 public:
  virtual ~FileCalls() = default;
  virtual ssize_t write(int fd, const void* bytes, std::size_t count, off_t offset);  // pwrite
  virtual ssize_t read(int fd, void* bytes, std::size_t count, off_t offset);         // pread
  virtual int allocate(int fd, off_t bytes);         // fallocate from 0: -1 with errno when it fails
  virtual int remove(int folder, const char* name);  // unlinkat

  static FileCalls& of_system();
};

class PageFile {
 public:
  // Takes `bytes` of the disk of `folder`, which must exist; `calls` must outlive the file. Where a file
  // system cannot reserve space the file is filled with zeros. Throws IoError with the path, the bytes
  // wanted, those free, and what to do.
  PageFile(const std::filesystem::path& folder, std::size_t bytes, FileCalls& calls = FileCalls::of_system());
  ~PageFile();
  PageFile(const PageFile&) = delete;
  PageFile& operator=(const PageFile&) = delete;

  // All of `bytes` to or from [offset, offset + bytes.size()); interrupted and short calls are continued. May
  // be called by several threads, for ranges that do not meet. Throws IoError as the constructor does, and
  // std::logic_error for a range outside of the file.
  void write(std::size_t offset, std::span<const std::byte> bytes) const;
  void read(std::size_t offset, std::span<std::byte> bytes) const;

  std::size_t bytes() const { return bytes_; }
  // Where it was made; no longer listed there, if the file system can do that.
  const std::filesystem::path& path() const { return path_; }

 private:
  void open_in(const std::filesystem::path& folder);
  void take_space() const;
  void fill_with_zeros() const;
  void close();
  void check_range(std::size_t offset, std::size_t count) const;
  [[noreturn]] void fail(const std::string& action, const std::string& reason, int error) const;

  FileCalls& calls_;
  std::filesystem::path path_;
  std::size_t bytes_;
  int fd_ = -1, folder_ = -1;
  bool listed_ = false;  // in its folder still
};

// Removes page files of processes that ended between making the file and removing its name, or whose file
// system kept the name; returns how many. Files that a process holds are left alone, and so is everything
// that is not a regular file of such a name: symbolic links are not followed. What cannot be looked at or
// removed is told to `warn`. A folder that does not exist holds none.
std::size_t remove_stale_page_files(const std::filesystem::path& folder,
                                    const std::function<void(const std::string&)>& warn);

}  // namespace rankine
