// What the tests of page_file.h and page_store.h share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <vector>

#include "engine/tape/page_store.h"

namespace rankine::testing_support {

using Bytes = std::vector<std::byte>;

inline Bytes random_bytes(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  Bytes bytes(count);
  for (std::size_t at = 0; at < count; at += 8) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, count - at));
  }
  return bytes;
}

class ScratchFolder {
 public:
  ScratchFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rankine-pages-test-XXXXXX").string();
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("no scratch folder");
    path_ = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::vector<std::filesystem::path> entries() const {
    std::vector<std::filesystem::path> all;
    for (const auto& e : std::filesystem::directory_iterator(path_)) all.push_back(e.path());
    return all;
  }

 private:
  std::filesystem::path path_;
};

// The system's calls, of which some fail: the n-th of a kind, and those after it if `stays`, with `error`.
class FaultyCalls final : public FileCalls {
 public:
  static constexpr int kNever = 1 << 30;
  int fail_write = kNever, fail_read = kNever, error = EIO;
  bool stays = false;
  int allocate_error = 0, remove_error = 0;
  std::size_t most_per_call = SIZE_MAX;  // more is cut short
  int interrupt_every = kNever;          // calls
  std::atomic<int> writes = 0, reads = 0, calls = 0;
  bool at_end = false;  // a read that fails finds the end of the file instead

  ssize_t write(int fd, const void* bytes, std::size_t count, off_t offset) override {
    if (interrupted()) return -1;
    if (fails(writes++, fail_write)) return -1;
    return FileCalls::write(fd, bytes, std::min(count, most_per_call), offset);
  }
  ssize_t read(int fd, void* bytes, std::size_t count, off_t offset) override {
    if (interrupted()) return -1;
    if (fails(reads++, fail_read)) return at_end ? 0 : -1;
    return FileCalls::read(fd, bytes, std::min(count, most_per_call), offset);
  }
  int allocate(int fd, off_t bytes) override {
    if (!allocate_error) return FileCalls::allocate(fd, bytes);
    errno = allocate_error;
    return -1;
  }
  int remove(int folder, const char* name) override {
    if (!remove_error) return FileCalls::remove(folder, name);
    errno = remove_error;
    return -1;
  }

 private:
  bool interrupted() {
    errno = EINTR;
    return ++calls % interrupt_every == 0;
  }
  bool fails(int call, int at) const {
    errno = error;
    return stays ? call >= at : call == at;
  }
};

inline std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

}  // namespace rankine::testing_support
