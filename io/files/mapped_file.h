// A file as read-only memory.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace rankine {

// Maps a whole regular file. Pages are read when touched, so a large model costs address space only. The
// bytes stay valid as long as the object (moving it does not move them). Nobody may shorten the file
// meanwhile: replace files by rename (see atomic_write.h), which leaves a mapped one as it was.
class MappedFile {
 public:
  MappedFile() = default;  // no file: an empty span
  // Throws IoError with the path and the system's reason; also for anything that is not a regular file.
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }  // empty for a file of no bytes
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace rankine
