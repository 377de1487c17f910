#include "io/dataset/text_dataset.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string_view>

#include "engine/core/error.h"
#include "io/dataset/text_fields.h"
#include "io/dataset/text_file.h"
#include "io/dataset/text_json.h"
#include "io/dataset/text_table.h"
#include "io/files/mapped_file.h"

namespace rankine {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kMaxProblems = 1000, kMaxRowBytes = std::size_t{64} << 20;

constexpr const char* kKinds = ".json, .jsonl, .ndjson, .csv, .tsv or .txt";

enum class Kind { json, json_lines, table, plain, other };

Kind kind_of(const fs::path& path) {
  const std::string ext = text_fields::key_name(path.extension().string());
  if (ext == ".json") return Kind::json;
  if (ext == ".jsonl" || ext == ".ndjson") return Kind::json_lines;
  if (ext == ".csv" || ext == ".tsv") return Kind::table;
  return ext == ".txt" ? Kind::plain : Kind::other;
}

// Rows and problems of one file.
class FileReader {
 public:
  FileReader(TextDataset& dataset, const TextDatasetOptions& options, std::string name)
      : dataset_(dataset), options_(options), name_(std::move(name)) {}

  void read(std::string_view text, Kind kind, bool in_folder) {
    if (text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff")) {
      return fault(1, "the text is UTF-16; save it as UTF-8");
    }
    if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
    if (kind == Kind::table) return read_table(text);
    if (kind == Kind::plain && !text_json::first_line_is_object(text)) return read_plain(text);
    const bool list = trim(text.substr(0, 64)).starts_with('[');
    const bool lines = !list && (kind != Kind::json || text_json::first_line_is_object(text));
    if (in_folder && kind == Kind::json && !list && is_other_object(text)) {
      return note(Severity::warning, 0, "is one JSON object and no row; passed over");
    }
    const text_json::RowSink sink{[this](int line, const json& row) { add(line, row); },
                                  [this](int line, std::string text) { fault(line, std::move(text)); }};
    lines ? text_json::read_lines(text, sink) : text_json::read_values(text, sink);
    if (rows_ + faults_ == 0) fault(0, "has no rows");
  }

 private:
  void note(Severity severity, int line, std::string text) {
    if (severity == Severity::error) ++faults_;
    if (dataset_.problems.size() < kMaxProblems) {
      dataset_.problems.push_back({severity, name_, line, std::move(text)});
    } else if (severity == Severity::error) {
      ++dataset_.unlisted_errors;
    }
  }
  void fault(int line, std::string text) { note(Severity::error, line, std::move(text)); }

  // A message "name:line: text" of a reader that knows both.
  void file_fault(std::string_view text) {
    if (text.starts_with(name_)) text.remove_prefix(std::min(text.size(), name_.size() + 1));
    int line = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), line);
    if (error == std::errc()) text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
    fault(line, std::string(trim(text)));
  }

  void add(int line, const json& object) {
    std::vector<std::string> warnings;
    std::vector<Conversation> rows;
    try {
      rows = read_text_row(object, options_.columns, warnings);
    } catch (const DataError& error) {
      return fault(line, error.what());
    }
    for (std::string& warning : warnings) note(Severity::warning, line, std::move(warning));
    for (Conversation& row : rows) keep(line, std::move(row));
  }

  void keep(int line, Conversation row) {
    row.where = name_ + ':' + std::to_string(line);
    dataset_.rows.push_back(std::move(row));
    ++rows_;
  }

  void read_table(std::string_view text) {
    try {
      text_table::read(checked_utf8(text, name_), name_, options_.columns,
                       {[this](int line, const json& row) { add(line, row); },
                        [this](int line, std::string text) { fault(line, std::move(text)); }});
    } catch (const DataError& error) {
      return file_fault(error.what());
    }
    if (rows_ + faults_ == 0) fault(0, "has no rows below its header");
  }

  // An object that says something about a dataset, as dataset_info.json does.
  bool is_other_object(std::string_view text) const {
    int values = 0;
    bool other = false;
    const text_json::RowSink sink{[&](int, const json& row) {
                                    std::vector<std::string> keys;
                                    for (auto it = row.begin(); row.is_object() && it != row.end(); ++it) {
                                      keys.push_back(it.key());
                                    }
                                    other = ++values == 1 && !has_text_layout(keys, options_.columns);
                                  },
                                  [&](int, const std::string&) { values = 2; }};
    constexpr std::size_t kLargest = 1 << 20;  // descriptions are small
    if (text.size() <= kLargest) text_json::read_values(text, sink);
    return values == 1 && other;
  }

  void read_plain(std::string_view text);
  void add_plain(int line, std::string_view text);

  TextDataset& dataset_;
  const TextDatasetOptions& options_;
  std::string name_;
  std::size_t rows_ = 0, faults_ = 0;
};

void FileReader::add_plain(int line, std::string_view text) {
  if (trim(text).empty()) return;
  if (text.size() > kMaxRowBytes) {
    return fault(line, "is a document of more than 64 MiB; take paragraphs or lines for rows");
  }
  if (const std::size_t good = utf8_prefix(text); good < text.size()) {
    const auto before = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(good), '\n');
    return fault(line + static_cast<int>(before),
                 text[good] == 0 ? "holds a NUL byte" : "is not valid UTF-8; save the file as UTF-8 text");
  }
  Conversation row;
  row.messages.push_back({Role::text, std::string(text), {}, true});
  std::erase(row.messages[0].text, '\r');
  keep(line, std::move(row));
}

void FileReader::read_plain(std::string_view text) {
  if (options_.text_split == TextSplit::document) {
    add_plain(1, text);
  } else {
    const bool by_line = options_.text_split == TextSplit::line;
    std::size_t start = 0;  // of the row being gathered
    int line = 1, row_line = 1;
    for (std::size_t begin = 0; begin < text.size(); ++line) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      if (by_line || trim(text.substr(begin, end - begin)).empty()) {
        add_plain(row_line, trim(text.substr(start, end - start)));
        start = std::min(end + 1, text.size());
        row_line = line + 1;
      }
      begin = end + 1;
    }
    add_plain(row_line, trim(text.substr(start)));
  }
  if (rows_ + faults_ == 0) fault(0, "has no text");
}

std::vector<fs::path> files_of(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require<IoError>(fs::exists(status), path.string(), ": no such file or folder");
  if (!fs::is_directory(status)) {
    require<DataError>(kind_of(path) != Kind::other, path.string(), ": is not a ", kKinds, " file");
    return {path};
  }
  std::vector<fs::path> files, texts;
  for (auto it = fs::directory_iterator(path, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    std::error_code ignored;
    if (name.starts_with('.') || name.starts_with('_') || !it->is_regular_file(ignored)) continue;
    const Kind kind = kind_of(it->path());
    if (kind != Kind::other) (kind == Kind::plain ? texts : files).push_back(it->path());
  }
  require<IoError>(!error, path.string(), ": ", error.message());
  if (files.empty()) files = std::move(texts);
  require<DataError>(!files.empty(), path.string(), ": the folder has no ", kKinds, " file");
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TextDataset load_text_dataset(const TextDatasetOptions& options) {
  TextDataset dataset;
  std::error_code error;
  const bool in_folder = fs::is_directory(options.path, error);
  for (const fs::path& path : files_of(options.path)) {
    const MappedFile file(path);
    const std::span<const std::byte> bytes = file.bytes();
    const std::string_view text =
        bytes.empty() ? std::string_view()
                      : std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    FileReader(dataset, options, path.string()).read(text, kind_of(path), in_folder);
  }
  return dataset;
}

TextDataset parse_text_dataset(std::string_view bytes, const std::string& name,
                               const TextDatasetOptions& options) {
  const Kind kind = kind_of(name);
  require<DataError>(kind != Kind::other, name, ": is not a ", kKinds, " file");
  TextDataset dataset;
  FileReader(dataset, options, name).read(bytes, kind, false);
  return dataset;
}

void require_usable(const TextDataset& dataset, OnBadData policy) {
  constexpr std::size_t kShown = 20;
  std::string list;
  std::size_t errors = 0;
  for (const Problem& problem : dataset.problems) {
    if (problem.severity != Severity::error) continue;
    if (++errors <= kShown) list += "\n  " + problem.to_string();
  }
  errors += dataset.unlisted_errors;
  if (errors > kShown) list += join("\n  and ", errors - kShown, " more");
  require<DataError>(!dataset.rows.empty(), "no row to train on is left", list.empty() ? "" : ":", list);
  require<DataError>(
      policy == OnBadData::skip || errors == 0, errors,
      errors == 1 ? " row or file of the dataset is wrong:" : " rows or files of the dataset are wrong:",
      list);
}

}  // namespace rankine
