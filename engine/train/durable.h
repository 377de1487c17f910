// Whole folders on disk, made so that a crash leaves the old state or the new one (for one file see
// io/files/atomic_write.h). All functions throw IoError naming the path and the system's reason.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace rankine {

// Creates a folder and its parents; what is new is durable on return.
void make_folder(const std::filesystem::path& folder);

// fsync of one file or folder.
void sync_path(const std::filesystem::path& path);
// fsync of every file below `folder`, then of every folder, `folder` last.
void sync_tree(const std::filesystem::path& folder);

// Every regular file below `folder`, sorted by path. Throws for anything that is neither a file nor a folder.
std::vector<std::filesystem::path> files_under(const std::filesystem::path& folder);

void rename_path(const std::filesystem::path& from, const std::filesystem::path& to);

// `prefix` + `name` + the process number: a name beside the final one that two processes do not share.
std::string private_name(const std::string& prefix, const std::string& name);

// Moves every entry of `from` into the folder `to`, durable on return. An existing file of that name is
// replaced at once; an existing folder is first moved aside and removed after.
void publish_entries(const std::filesystem::path& from, const std::filesystem::path& to);

// Removes the entries of `folder` whose names start with one of `prefixes`: what an interrupted process left.
// What cannot be removed is told to `warn`.
void remove_leftovers(const std::filesystem::path& folder, const std::vector<std::string>& prefixes,
                      const std::function<void(const std::string&)>& warn);

// An empty folder that is removed again with all it holds, unless it was renamed meanwhile.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(std::filesystem::path path);
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace rankine
