// Durable replacement of a folder of files: after a crash at any moment there is the old one or the new one.
#pragma once

#include <filesystem>
#include <functional>

namespace rankine {

// Calls `produce` with an empty folder `.tmp-<name>-<pid>` beside `folder` to put files into (durably, as
// write_file_atomically does), then `check` with the same folder, then renames it to `folder`. Parents are
// made. An existing `folder` is replaced as a whole, if it holds nothing but files whose names the new one
// has too: what else lies there is a user's, and makes this throw DataError before anything is written over.
// When `produce` or `check` throws, the old folder is untouched. Throws IoError with the path and the reason.
void write_folder_atomically(const std::filesystem::path& folder,
                             const std::function<void(const std::filesystem::path&)>& produce,
                             const std::function<void(const std::filesystem::path&)>& check = nullptr);

// Renames a file of which every byte is durable over `to`, in the same folder. Throws IoError.
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace rankine
