#include "io/files/paths.h"

#include <algorithm>
#include <string>

#include "engine/core/error.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;

// The name as it may be shown: control characters could change a terminal.
std::string printable(std::string_view name) {
  std::string out(name.substr(0, 200));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 32 || c == 127; }, '?');
  return out;
}

bool is_inside(const fs::path& root, const fs::path& path) {
  const auto [root_end, rest] = std::mismatch(root.begin(), root.end(), path.begin(), path.end());
  return root_end == root.end() && rest != path.end();
}

}  // namespace

fs::path resolve_inside(const fs::path& root, std::string_view relative) {
  const auto check = [&](bool ok, std::string_view problem) {
    require<DataError>(ok, "file name '", printable(relative), "' in ", root.string(), ": ", problem);
  };
  check(!relative.empty(), "is empty");
  check(relative.find('\0') == std::string_view::npos, "contains a NUL byte");
  const fs::path name{std::string(relative)};
  check(name.is_relative(), "must be relative to the folder, not absolute");
  check(std::find(name.begin(), name.end(), "..") == name.end(), "'..' is not allowed");

  std::error_code error;
  const fs::path folder = fs::canonical(root, error);
  require<DataError>(!error, root.string(), ": cannot open the folder: ", error.message());
  fs::path path = fs::canonical(folder / name, error);
  check(!error, error ? error.message() : std::string());
  check(is_inside(folder, path), "a symbolic link leads out of the folder");
  const bool regular = fs::is_regular_file(path, error);
  check(!error && regular, "is not a regular file");
  return path;
}

}  // namespace rankine
