// Names that come from files of others (metadata, index files) and must not lead out of their folder.
#pragma once

#include <filesystem>
#include <string_view>

namespace rankine {

// The existing regular file `relative` (UTF-8, '/' between folders) inside the folder `root`, as a canonical
// path. Throws DataError that names both for: an empty or absolute name, a NUL byte, a `..` part, a symbolic
// link that leads out of root, a missing file, and anything that is not a regular file (folder, device, FIFO,
// socket).
std::filesystem::path resolve_inside(const std::filesystem::path& root, std::string_view relative);

}  // namespace rankine
