#include "io/dataset/dataset.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <system_error>
#include <utility>

#include "engine/core/error.h"
#include "io/dataset/folder_scan.h"
#include "io/dataset/metadata.h"
#include "io/files/paths.h"
#include "io/image/decode.h"

namespace rankine {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kListedErrors = 20;

// One folder of pictures: the training folder or the one for prior preservation.
struct Root {
  fs::path folder;
  fs::path metadata;
  std::string default_caption;
  std::string caption_extension;
  bool regularisation = false;
};

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

class RootScanner {
 public:
  RootScanner(const Root& root, Dataset& out) : root_(root), out_(out), listing_(list_folder(root.folder)) {}

  void scan() {
    if (const fs::path metadata = find_metadata(); !metadata.empty()) return scan_metadata(metadata);
    std::vector<RepeatFolder> repeats;
    for (const std::string& folder : listing_.folders) {
      if (auto parsed = parse_repeat_folder(folder)) repeats.push_back(std::move(*parsed));
    }
    if (!repeats.empty()) return scan_repeat_folders(repeats);
    report_unsupported(listing_, root_.folder);
    for (const std::string& name : listing_.pictures) add_with_sidecar(name, root_.default_caption, 1);
    if (listing_.pictures.empty()) report_no_pictures();
  }

 private:
  void report(Severity severity, const fs::path& file, int line, std::string text) {
    out_.problems.push_back({severity, file.string(), line, std::move(text)});
  }

  fs::path find_metadata() {
    if (!root_.metadata.empty()) return root_.metadata;
    const fs::path csv = root_.folder / "metadata.csv", jsonl = root_.folder / "metadata.jsonl";
    std::error_code error;
    const bool has_csv = fs::exists(csv, error), has_jsonl = fs::exists(jsonl, error);
    if (has_csv && has_jsonl)
      report(Severity::warning, jsonl, 0, "is not used, because metadata.csv is there too");
    return has_csv ? csv : has_jsonl ? jsonl : fs::path();
  }

  // The file that `relative` names, if there is one. Throws DataError when it would lead out of the folder.
  std::optional<fs::path> existing(const std::string& relative) const {
    const fs::path name(relative);
    const bool climbs = std::find(name.begin(), name.end(), fs::path("..")) != name.end();
    std::error_code error;
    const fs::file_status status = fs::status(root_.folder / name, error);
    if (name.is_relative() && !climbs && (!fs::exists(status) || fs::is_directory(status)))
      return std::nullopt;
    return resolve_inside(root_.folder, relative);
  }

  std::optional<fs::path> find_picture(const std::string& name, const fs::path& metadata_folder) const {
    std::vector<std::string> spellings{name};
    if (name.find('\\') != std::string::npos) {
      spellings.push_back(name);
      std::replace(spellings.back().begin(), spellings.back().end(), '\\', '/');
    }
    for (const std::string& spelling : std::vector<std::string>(spellings)) {
      if (has_image_extension(spelling)) continue;
      for (const char* ext : {".png", ".jpg", ".jpeg", ".webp"}) spellings.push_back(spelling + ext);
    }
    for (const std::string& spelling : spellings) {
      if (auto found = existing(spelling)) return found;
    }
    std::error_code error;
    const fs::path base = fs::weakly_canonical(root_.folder, error);
    const fs::path below = fs::weakly_canonical(metadata_folder, error).lexically_relative(base);
    if (below.empty() || below == "." || *below.begin() == "..") return std::nullopt;
    for (const std::string& spelling : spellings) {
      if (auto found = existing((below / spelling).generic_string())) return found;
    }
    return std::nullopt;
  }

  std::string missing_text(const std::string& name) const {
    const std::string wanted = lower(fs::path(name).filename().string());
    for (const std::string& picture : listing_.pictures) {
      if (lower(picture) == wanted)
        return join("there is no picture '", name, "'; did you mean '", picture, "'?");
    }
    return join("there is no picture '", name, "' in ", root_.folder.string());
  }

  std::string id_of(const fs::path& picture) const {
    std::error_code error;
    const fs::path base = fs::weakly_canonical(root_.folder, error);
    return fs::weakly_canonical(picture, error).lexically_relative(base).generic_string();
  }

  void scan_metadata(const fs::path& metadata) {
    std::map<std::string, std::pair<int, std::string>> seen;  // id -> line and caption
    for (const MetadataRow& row : read_metadata(metadata, out_.problems)) {
      std::optional<fs::path> picture;
      try {
        picture = find_picture(row.file, metadata.parent_path());
      } catch (const DataError& fault) {
        report(Severity::error, metadata, row.line, fault.what());
        continue;
      }
      if (!picture) {
        report(Severity::error, metadata, row.line, missing_text(row.file));
        continue;
      }
      const std::string id = id_of(*picture);
      const auto [first, is_new] = seen.emplace(id, std::pair(row.line, row.caption));
      if (!is_new) {
        const bool same = first->second.second == row.caption;
        report(same ? Severity::warning : Severity::error, metadata, row.line,
               join("'", id, same ? "' is a duplicate of line " : "' has another caption on line ",
                    first->second.first, "; that line is used"));
        continue;
      }
      add(*picture, id, row.caption, 1, {metadata, row.line});
    }
    report_unlisted(metadata, seen);
  }

  void report_unlisted(const fs::path& metadata,
                       const std::map<std::string, std::pair<int, std::string>>& seen) {
    std::vector<std::string> unlisted;
    for (const std::string& name : listing_.pictures) {
      if (seen.find(name) == seen.end()) unlisted.push_back(name);
    }
    if (unlisted.empty()) return;
    report(Severity::warning, metadata, 0,
           join("pictures of the folder that are not listed and not used (", unlisted.size(),
                "): ", list_names(unlisted)));
  }

  void scan_repeat_folders(const std::vector<RepeatFolder>& folders) {
    for (const RepeatFolder& entry : folders) {
      const fs::path folder = root_.folder / entry.folder;
      const FolderListing inner = list_folder(folder);
      report_unsupported(inner, folder);
      if (inner.pictures.empty()) report(Severity::warning, folder, 0, "holds no pictures");
      if (entry.repeats == 0)
        report(Severity::warning, folder, 0, "has 0 repeats, so its pictures are not used");
      if (entry.repeats == 0) continue;
      const std::string& caption = entry.name.empty() ? root_.default_caption : entry.name;
      for (const std::string& name : inner.pictures)
        add_with_sidecar(entry.folder + '/' + name, caption, entry.repeats);
    }
    for (const std::string& folder : listing_.folders) {
      if (parse_repeat_folder(folder)) continue;
      report(Severity::warning, root_.folder / folder, 0,
             "is not used: its name does not begin with repeats and '_', as in 10_name");
    }
    if (listing_.pictures.empty()) return;
    report(Severity::warning, root_.folder, 0,
           join("pictures beside the N_name folders that are not used (", listing_.pictures.size(),
                "): ", list_names(listing_.pictures)));
  }

  void report_unsupported(const FolderListing& listing, const fs::path& folder) {
    for (const std::string& name : listing.unsupported) {
      report(Severity::warning, folder / name, 0,
             "is not used: this format is not read; convert it to PNG, JPEG or WebP");
    }
  }

  void report_no_pictures() {
    std::vector<std::string> with_pictures;
    for (const std::string& folder : listing_.folders) {
      std::error_code error;
      if (fs::is_directory(root_.folder / folder, error) &&
          !list_folder(root_.folder / folder).pictures.empty()) {
        with_pictures.push_back(folder);
      }
    }
    report(Severity::error, root_.folder, 0,
           with_pictures.empty()
               ? "holds no PNG, JPEG or WebP pictures"
               : join("holds no pictures itself, but these folders in it do: ", list_names(with_pictures),
                      "; name one of them, or rename them to N_name with N repeats"));
  }

  void add_with_sidecar(const std::string& id, const std::string& fallback, int repeats) {
    const fs::path shown = root_.folder / id;
    try {
      const std::optional<fs::path> picture = existing(id);
      if (!picture) return report(Severity::error, shown, 0, "is gone or a link to nothing");
      const auto caption = read_sidecar(shown, root_.caption_extension, out_.problems);
      if (caption && caption->empty())
        report(Severity::warning, shown, 0, "its caption file has an empty first line");
      add(shown, id, caption && !caption->empty() ? *caption : fallback, repeats, {shown, 0});
    } catch (const DataError& fault) {
      out_.problems.push_back(problem_of(fault, shown.string()));
    }
  }

  void add(const fs::path& picture, const std::string& id, std::string caption, int repeats,
           const std::pair<fs::path, int>& origin) {
    if (caption.empty()) caption = root_.default_caption;
    if (caption.empty()) {
      report(Severity::warning, origin.first, origin.second,
             "'" + id + "' has no caption; an empty one is used");
    }
    const std::string prefix = root_.regularisation ? "regularisation:" : "";
    out_.samples.push_back({picture, prefix + id, std::move(caption), repeats, root_.regularisation, {}});
  }

  const Root& root_;
  Dataset& out_;
  FolderListing listing_;
};

}  // namespace

Dataset scan_dataset(const DatasetOptions& options) {
  Dataset dataset;
  const Root train{options.data_dir, options.metadata_path, options.default_caption,
                   options.caption_extension, false};
  RootScanner(train, dataset).scan();
  if (!options.regularisation_dir.empty()) {
    const Root prior{
        options.regularisation_dir, {}, options.regularisation_caption, options.caption_extension, true};
    RootScanner(prior, dataset).scan();
  }
  std::sort(dataset.samples.begin(), dataset.samples.end(),
            [](const Sample& a, const Sample& b) { return a.id < b.id; });
  return dataset;
}

void require_usable(const Dataset& dataset, OnBadData policy) {
  std::vector<std::string> errors;
  for (const Problem& problem : dataset.problems) {
    if (problem.severity == Severity::error) errors.push_back(problem.to_string());
  }
  const bool any = std::any_of(dataset.samples.begin(), dataset.samples.end(),
                               [](const Sample& sample) { return !sample.regularisation; });
  if (any && (errors.empty() || policy == OnBadData::skip)) return;
  std::string text = any ? join("the dataset has ", errors.size(), errors.size() == 1 ? " error" : " errors")
                         : std::string("the dataset has no usable training picture");
  for (std::size_t i = 0; i < std::min(errors.size(), kListedErrors); ++i) text += "\n  " + errors[i];
  if (errors.size() > kListedErrors) text += join("\n  and ", errors.size() - kListedErrors, " more");
  throw DataError(text);
}

}  // namespace rankine
