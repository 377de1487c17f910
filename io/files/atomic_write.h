// Durable replacement of a file: after a crash at any moment there is the old file or the new one, whole.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace rankine {

// Writes the parts, one after another, to `.tmp-<name>-<pid>` beside `path`, then fsync, rename over `path`,
// fsync of the folder. Returns only when all of that succeeded. `path` itself is replaced if it is a symbolic
// link, and gets the default permissions. Two threads of a process must not write the same path at the same
// time. Throws IoError with the path and the reason. Up to the rename the target is untouched and the
// temporary file is removed; if only the last step (fsync of the folder) fails, the new file is in place but
// may not survive a crash. An fsync is never tried twice: after an error the kernel may have dropped the
// pages, and a second call would report success for data that is gone. To try again, call the whole function
// again.
void write_file_atomically(const std::filesystem::path& path,
                           std::span<const std::span<const std::byte>> parts);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

// The same for a file that is made piece by piece: `produce` is called once, with a function that appends.
// When `produce` throws, the target is untouched and the temporary file is removed.
using AppendBytes = std::function<void(std::span<const std::byte>)>;
void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(const AppendBytes&)>& produce);

}  // namespace rankine
