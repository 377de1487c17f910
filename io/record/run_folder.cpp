#include "io/record/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>

#include "engine/core/error.h"

namespace rankine {
namespace {

constexpr std::size_t kMaxName = 100;
constexpr std::string_view kStepPrefix = "step-";

bool is_safe_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
}

std::string step_name(std::int64_t step) {
  require<std::logic_error>(step >= 0, "RunFolder: negative step ", step);
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return name;
}

// The process that holds the lock has written its number into the file.
std::string holder_of(int fd) {
  char text[32] = {};
  const ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  return n > 0 ? join("process ", std::string(text, static_cast<std::size_t>(n))) : "another process";
}

FileDescriptor lock_folder(const std::filesystem::path& root) {
  const auto path = root / ".lock";
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (file.get() < 0) throw_io_error(path, "open", errno);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) throw_io_error(path, "lock", errno);
    throw IoError(join(root.string(), ": ", holder_of(file.get()),
                       " is training into this folder; wait for it, or choose another output_dir"));
  }
  const std::string pid = std::to_string(::getpid());
  // The number is only for the message above: that it cannot be written is no reason to stop.
  const bool emptied = ::ftruncate(file.get(), 0) == 0;
  [[maybe_unused]] const bool written = emptied && ::pwrite(file.get(), pid.data(), pid.size(), 0) > 0;
  return file;
}

FileDescriptor make_folders(const RunFolder& folder) {
  for (const auto& path :
       {folder.root(), folder.events_dir(), folder.checkpoints_dir(), folder.samples_dir()}) {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    require<IoError>(
        !error && std::filesystem::is_directory(path, error), path.string(),
        ": cannot create the folder: ", error ? error.message() : "a file of that name is in the way");
  }
  return lock_folder(folder.root());
}

}  // namespace

bool is_safe_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name.front() != '.' &&
         std::all_of(name.begin(), name.end(), is_safe_character);
}

void require_safe_name(std::string_view what, std::string_view name) {
  require<ConfigError>(is_safe_name(name), what, ": '", name,
                       "' is not allowed as a name; allowed: 1 to 100 of A-Z a-z 0-9 . _ -, no dot first");
}

std::string safe_name(std::string_view name) {
  std::string out(name.substr(0, kMaxName));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return !is_safe_character(c); }, '_');
  if (out.empty()) return "_";
  if (out.front() == '.') out.front() = '_';
  return out;
}

RunFolder::RunFolder(const std::filesystem::path& root) : root_(root), lock_(make_folders(*this)) {}

std::filesystem::path RunFolder::checkpoint_dir(std::int64_t step) const {
  return checkpoints_dir() / step_name(step);
}

std::filesystem::path RunFolder::sample_file(std::int64_t step, int index, std::string_view label) const {
  constexpr std::size_t kMaxLabel = 40;
  char number[16];
  std::snprintf(number, sizeof number, "_%02d_", index);
  return samples_dir() / (step_name(step) + number + safe_name(label.substr(0, kMaxLabel)) + ".png");
}

std::vector<std::int64_t> RunFolder::checkpoint_steps(std::string_view marker) const {
  std::vector<std::int64_t> steps;
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints_dir())) {
    const std::string name = entry.path().filename().string();
    std::int64_t step = 0;
    const char* end = name.data() + name.size();
    if (name.compare(0, kStepPrefix.size(), kStepPrefix) != 0) continue;
    const auto parsed = std::from_chars(name.data() + kStepPrefix.size(), end, step);
    if (parsed.ec != std::errc() || parsed.ptr != end || step < 0 || name != step_name(step)) continue;
    if (std::filesystem::is_regular_file(entry.path() / marker)) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

}  // namespace rankine
