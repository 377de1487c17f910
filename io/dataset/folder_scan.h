// Listing picture folders; a part of dataset.cpp.
#pragma once

#include <exception>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/dataset/problem.h"

namespace rankine {

struct FolderListing {
  std::vector<std::string> pictures;     // names with a supported extension, sorted; hidden files left out
  std::vector<std::string> unsupported;  // pictures in a format that is not read
  std::vector<std::string> folders;
};

// One folder, not those below it. Throws IoError when it is not a folder or cannot be listed.
FolderListing list_folder(const std::filesystem::path& folder);

struct RepeatFolder {
  std::string folder;  // "10_cat girl"
  int repeats = 1;
  std::string name;  // "cat girl"
};

// "<repeats>_<name>" with 0 <= repeats <= 100,000; nothing for other names.
std::optional<RepeatFolder> parse_repeat_folder(const std::string& folder);

// The first line of the picture's caption file, trimmed; nothing when there is no such file. Further lines
// are reported to `problems`. `extension` empty: .txt, else .caption. Throws DataError when the file is not
// UTF-8 or not readable.
std::optional<std::string> read_sidecar(const std::filesystem::path& picture, const std::string& extension,
                                        std::vector<Problem>& problems);

// An error whose text is the exception's, without the "path: " or "path:line: " that our messages start with.
Problem problem_of(const std::exception& fault, const std::string& path);

// "a, b, c" of at most `limit` names, then ", and N more".
std::string list_names(const std::vector<std::string>& names, std::size_t limit = 5);

}  // namespace rankine
