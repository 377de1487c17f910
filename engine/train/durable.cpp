#include "engine/train/durable.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "engine/core/error.h"
#include "io/files/file_descriptor.h"

namespace rankine {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const fs::path& path, std::string_view what, const std::string& reason) {
  throw IoError(join(path.string(), ": ", what, ": ", reason));
}

struct Tree {
  std::vector<fs::path> files, folders;  // each sorted: a folder stands before what it holds
};

Tree list_tree(const fs::path& folder) {
  Tree tree;
  std::error_code error;
  fs::recursive_directory_iterator it(folder, error), end;
  for (; !error && it != end; it.increment(error)) {
    const fs::file_type type = it->symlink_status(error).type();
    if (type == fs::file_type::regular)
      tree.files.push_back(it->path());
    else if (type == fs::file_type::directory)
      tree.folders.push_back(it->path());
    else
      fail(it->path(), "cannot be part of a result", "neither a regular file nor a folder");
  }
  if (error) fail(folder, "cannot be listed", error.message());
  std::sort(tree.files.begin(), tree.files.end());
  std::sort(tree.folders.begin(), tree.folders.end());
  return tree;
}

}  // namespace

void make_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return;
  const fs::path parent = fs::absolute(folder).parent_path();
  if (parent != fs::absolute(folder)) make_folder(parent);
  fs::create_directory(folder, error);
  if (!fs::is_directory(folder)) fail(folder, "cannot be created", error ? error.message() : "not a folder");
  sync_path(parent);
}

void sync_path(const fs::path& path) {
  const FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) throw_io_error(path, "open", errno);
  if (::fsync(fd.get()) != 0) throw_io_error(path, "make durable (fsync)", errno);
}

void sync_tree(const fs::path& folder) {
  const Tree tree = list_tree(folder);
  for (const fs::path& file : tree.files) sync_path(file);
  // What is below comes before what is above.
  for (auto it = tree.folders.rbegin(); it != tree.folders.rend(); ++it) sync_path(*it);
  sync_path(folder);
}

std::vector<fs::path> files_under(const fs::path& folder) { return list_tree(folder).files; }

void rename_path(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) fail(from, "cannot be renamed to " + to.string(), error.message());
}

std::string private_name(const std::string& prefix, const std::string& name) {
  return prefix + name + "-" + std::to_string(::getpid());
}

void publish_entries(const fs::path& from, const fs::path& to) {
  std::vector<fs::path> entries, aside;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(from, error)) entries.push_back(entry.path());
  if (error) fail(from, "cannot be listed", error.message());
  for (const fs::path& entry : entries) {
    const fs::path place = to / entry.filename();
    if (fs::is_directory(place, error)) {
      aside.push_back(to / private_name(".old-", entry.filename().string()));
      rename_path(place, aside.back());
    }
    rename_path(entry, place);
  }
  sync_path(to);
  // The result is in place; what cannot be removed only takes room.
  for (const fs::path& old : aside) fs::remove_all(old, error);
}

void remove_leftovers(const fs::path& folder, const std::vector<std::string>& prefixes,
                      const std::function<void(const std::string&)>& warn) {
  std::vector<fs::path> left;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    for (const std::string& prefix : prefixes) {
      if (name.rfind(prefix, 0) == 0) left.push_back(entry.path());
    }
  }
  for (const fs::path& path : left) {
    fs::remove_all(path, error);
    if (error) warn(join(path.string(), ": not removed: ", error.message()));
  }
}

TemporaryFolder::TemporaryFolder(fs::path path) : path_(std::move(path)) {
  std::error_code error;
  fs::remove_all(path_, error);
  if (!fs::create_directory(path_, error))
    fail(path_, "cannot be created", error ? error.message() : "exists");
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace rankine
