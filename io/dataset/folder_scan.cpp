#include "io/dataset/folder_scan.h"

#include <algorithm>
#include <system_error>

#include "engine/core/error.h"
#include "io/dataset/text_file.h"
#include "io/image/decode.h"

namespace rankine {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxCaptionBytes = 1 << 20;
constexpr int kMaxRepeats = 100'000;

}  // namespace

FolderListing list_folder(const fs::path& folder) {
  std::error_code error;
  require<IoError>(fs::exists(folder, error), folder.string(), ": no such folder");
  require<IoError>(fs::is_directory(folder, error), folder.string(), ": is not a folder");
  FolderListing listing;
  fs::directory_iterator it(folder, error);
  for (const fs::directory_iterator end; !error && it != end; it.increment(error)) {
    const fs::path path = it->path();
    const std::string name = path.filename().string();
    std::error_code gone;  // an entry may vanish while we look
    if (name.empty() || name.front() == '.') continue;
    if (it->is_directory(gone)) {
      listing.folders.push_back(name);
    } else if (has_image_extension(path)) {
      listing.pictures.push_back(name);
    } else if (has_unsupported_image_extension(path)) {
      listing.unsupported.push_back(name);
    }
  }
  require<IoError>(!error, folder.string(), ": cannot list the folder: ", error.message());
  for (std::vector<std::string>* names : {&listing.pictures, &listing.unsupported, &listing.folders}) {
    std::sort(names->begin(), names->end());
  }
  return listing;
}

std::optional<RepeatFolder> parse_repeat_folder(const std::string& folder) {
  const std::size_t digits = folder.find_first_not_of("0123456789");
  if (digits == 0 || digits == std::string::npos || digits > 6 || folder[digits] != '_') return std::nullopt;
  const int repeats = std::stoi(folder.substr(0, digits));
  if (repeats > kMaxRepeats) return std::nullopt;
  return RepeatFolder{folder, repeats, std::string(trim(folder.substr(digits + 1)))};
}

std::optional<std::string> read_sidecar(const fs::path& picture, const std::string& extension,
                                        std::vector<Problem>& problems) {
  std::vector<std::string> extensions{".txt", ".caption"};
  if (!extension.empty()) extensions = {extension};
  for (const std::string& ext : extensions) {
    fs::path path = picture;
    path.replace_extension(ext);
    std::error_code error;
    if (!fs::exists(path, error)) continue;
    const std::string text = read_text_file(path, kMaxCaptionBytes);
    const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
    const std::string_view rest = trim(std::string_view(text).substr(end));
    if (!rest.empty()) {
      problems.push_back({Severity::warning, path.string(), 2, "only the first line is used as the caption"});
    }
    return std::string(trim(std::string_view(text).substr(0, end)));
  }
  return std::nullopt;
}

Problem problem_of(const std::exception& fault, const std::string& path) {
  Problem problem{Severity::error, path, 0, fault.what()};
  std::string_view text = problem.text;
  if (text.substr(0, path.size()) != path || text.substr(path.size(), 1) != ":") return problem;
  text.remove_prefix(path.size() + 1);
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  if (digits > 0 && digits < 9 && text.substr(digits, 1) == ":") {
    problem.line = std::stoi(std::string(text.substr(0, digits)));
    text.remove_prefix(digits + 1);
  }
  problem.text = std::string(trim(text));
  return problem;
}

std::string list_names(const std::vector<std::string>& names, std::size_t limit) {
  std::string out;
  for (std::size_t i = 0; i < std::min(limit, names.size()); ++i) out += (i == 0 ? "" : ", ") + names[i];
  return names.size() > limit ? join(out, ", and ", names.size() - limit, " more") : out;
}

}  // namespace rankine
