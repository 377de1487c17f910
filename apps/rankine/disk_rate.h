// How fast the disk under a folder is.
#pragma once

#include <filesystem>

namespace rankine::app {

// Bytes per second of the slower of writing (until the disk has it) and reading back (past the cache, where
// the system can be told to drop it) a file without a name in `folder`, or the nearest folder above it that
// is there. Takes less than a second. Throws IoError when no file can be written there.
double disk_rate(const std::filesystem::path& folder);

}  // namespace rankine::app
