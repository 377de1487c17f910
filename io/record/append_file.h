// A file that only grows. Each append is one write of the whole text, so that a crash can tear only the last
// one.
#pragma once

#include <filesystem>
#include <string_view>

#include "io/files/file_descriptor.h"

namespace rankine {

class AppendFile {
 public:
  enum class Mode { create_new, create_or_append };

  // Throws IoError; with create_new also when the file is there already.
  AppendFile(const std::filesystem::path& path, Mode mode);

  // The text has reached the operating system when this returns: it survives the process, not the machine.
  // Throws IoError when the system refuses; part of the text may have been written then.
  void append(std::string_view text);
  // Everything appended has reached the disk when this returns.
  void sync();

 private:
  std::filesystem::path path_;
  FileDescriptor fd_;
};

}  // namespace rankine
