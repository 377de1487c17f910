#include "io/files/atomic_folder.h"

#include <fcntl.h>
#include <stdio.h>

#include <cerrno>
#include <string>

#include "io/files/file_descriptor.h"

namespace rankine {

namespace fs = std::filesystem;

namespace {

void sync_folder(const fs::path& folder) {
  const FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) throw_io_error(folder, "open the folder", errno);
  if (::fsync(fd.get()) != 0) throw_io_error(folder, "flush the folder to disk", errno);
}

// An empty folder that goes away with all it holds, unless it was renamed.
class Temporary {
 public:
  explicit Temporary(fs::path path) : path_(std::move(path)) {
    std::error_code error;
    fs::remove_all(path_, error);
    if (!fs::create_directory(path_, error)) throw_io_error(path_, "create", error ? error.value() : EEXIST);
  }
  ~Temporary() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

void refuse_foreign(const fs::path& old, const fs::path& made) {
  for (const auto& entry : fs::directory_iterator(old)) {
    const bool ours = entry.is_regular_file() && fs::exists(made / entry.path().filename());
    require<DataError>(ours, old.string(), ": holds ", entry.path().filename().string(),
                       ", which would be lost: name another folder, or one that does not exist");
  }
}

// Leaves the old folder under the name of the new one.
void exchange(const fs::path& made, const fs::path& target) {
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) throw_io_error(target, "replace", errno);
  // A file system without the exchange: for a moment only the old one, under another name, is there.
  const fs::path aside = made.parent_path() / join(".old-", target.filename().string(), "-", ::getpid());
  if (::rename(target.c_str(), aside.c_str()) != 0) throw_io_error(target, "move aside", errno);
  if (::rename(made.c_str(), target.c_str()) != 0) {
    const int error = errno;
    if (::rename(aside.c_str(), target.c_str()) != 0) throw_io_error(aside, "move back", errno);
    throw_io_error(target, "replace", error);
  }
  if (::rename(aside.c_str(), made.c_str()) != 0) throw_io_error(aside, "remove", errno);
}

}  // namespace

void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw_io_error(to, "replace", errno);
  sync_folder(to.has_parent_path() ? to.parent_path() : fs::path("."));
}

void write_folder_atomically(const fs::path& folder, const std::function<void(const fs::path&)>& produce,
                             const std::function<void(const fs::path&)>& check) {
  std::error_code error;
  fs::path target = fs::absolute(folder).lexically_normal();
  if (!target.has_filename()) target = target.parent_path();
  if (fs::is_symlink(target, error)) target = fs::weakly_canonical(target);
  const std::string name = target.filename().string();
  require<IoError>(!name.empty(), "'", folder.string(), "': not the name of a folder");
  const fs::path parent = target.parent_path();
  fs::create_directories(parent, error);
  if (error) throw_io_error(parent, "create", error.value());

  const Temporary made(parent / join(".tmp-", name, "-", ::getpid()));
  produce(made.path());
  if (check) check(made.path());
  sync_folder(made.path());
  if (fs::exists(target)) {
    require<DataError>(fs::is_directory(target), target.string(), ": is not a folder");
    refuse_foreign(target, made.path());
    exchange(made.path(), target);
  } else if (::rename(made.path().c_str(), target.c_str()) != 0) {
    throw_io_error(target, "create", errno);
  }
  sync_folder(parent);
}

}  // namespace rankine
