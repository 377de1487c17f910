#include "io/dataset/metadata.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>

#include "engine/core/error.h"
#include "io/dataset/csv.h"
#include "io/dataset/text_file.h"
#include "io/image/decode.h"

namespace rankine {

namespace {

constexpr std::int64_t kMaxMetadataBytes = std::int64_t{256} << 20;
constexpr std::size_t kMaxJsonLine = 1 << 20;
constexpr std::string_view kSeparators = ",;\t|";

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 19> kFileNames{
    "file_name", "filename", "file",   "image",     "image_file", "image_path", "image_name",
    "img",       "img_path", "path",   "file_path", "filepath",   "图片",       "图像",
    "图片路径",  "图片名",   "文件名", "文件",      "文件路径"};
constexpr std::array<std::string_view, 12> kCaptionNames{"text",     "caption", "prompt", "description",
                                                         "captions", "prompts", "tags",   "提示词",
                                                         "描述",     "标题",    "文本",   "标签"};

// "File Name" and "file-name" are "file_name".
std::string column_name(std::string_view text) {
  std::string name(trim(text));
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == ' ' || c == '-') c = '_';
  }
  return name;
}

// The position in `columns` of the first of `names` that occurs.
std::optional<std::size_t> find_column(const std::vector<std::string>& columns, Names names) {
  for (const std::string_view name : names) {
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found != columns.end()) return static_cast<std::size_t>(found - columns.begin());
  }
  return std::nullopt;
}

std::string list_of(Names names) {
  std::string out;
  for (const std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

bool looks_like_picture(const std::string& text) {
  return has_image_extension(text) || has_unsupported_image_extension(text);
}

std::string one_line(std::string_view text) {
  std::string out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
    const std::string_view part = trim(text.substr(begin, end - begin));
    if (!part.empty()) out.append(out.empty() ? "" : " ").append(part);
    begin = end + 1;
  }
  return out;
}

struct CsvLayout {
  std::size_t file = 0, caption = 1;
  std::size_t columns = 2;
  bool header = false;
};

std::optional<CsvLayout> layout_of(const CsvRow& first) {
  std::vector<std::string> names;
  for (const CsvField& field : first.fields) names.push_back(column_name(field.text));
  while (!names.empty() && names.back().empty()) names.pop_back();  // a separator at the end of the header
  const auto file = find_column(names, kFileNames), caption = find_column(names, kCaptionNames);
  if (file && caption) return CsvLayout{*file, *caption, names.size(), true};
  if (names.size() < 2) return std::nullopt;
  if (looks_like_picture(first.fields[0].text)) return CsvLayout{0, 1, 2, false};
  if (names.size() == 2 && looks_like_picture(first.fields[1].text)) return CsvLayout{1, 0, 2, false};
  return std::nullopt;
}

[[noreturn]] void throw_no_columns(std::string_view text, const std::string& name) {
  CsvRow row;
  CsvReader(text, ',', name).next(row);
  std::string header;
  for (const CsvField& field : row.fields)
    header += (header.empty() ? "'" : ", '") + field.text.substr(0, 40) + '\'';
  throw DataError(join(name, ':', row.line, ": the columns ", header,
                       " do not name a picture and a caption. Name one column of: ", list_of(kFileNames),
                       "; and one of: ", list_of(kCaptionNames), "; separated by , ; tab or |"));
}

struct Dialect {
  char separator = ',';
  CsvLayout layout;
};

// The first separator under which the first row is a header, else the first under which it is a name and a
// caption.
Dialect detect_dialect(std::string_view text, const std::string& name) {
  std::optional<Dialect> headless;
  for (const char separator : kSeparators) {
    CsvRow row;
    try {
      if (!CsvReader(text, separator, name).next(row)) break;
    } catch (const DataError&) {
      continue;  // quotes that make no sense under this separator
    }
    const std::optional<CsvLayout> layout = layout_of(row);
    if (layout && layout->header) return {separator, *layout};
    if (layout && !headless) headless = Dialect{separator, *layout};
  }
  if (!headless) throw_no_columns(text, name);
  return *headless;
}

class RowCollector {
 public:
  RowCollector(const std::string& name, std::vector<Problem>& problems) : name_(name), problems_(problems) {}

  void fault(int line, std::string text) {
    problems_.push_back({Severity::error, name_, line, std::move(text)});
    ++faults_;
  }

  void add(int line, std::string_view file, std::string_view caption) {
    const std::string_view trimmed = trim(file);
    if (trimmed.empty()) return fault(line, "no picture is named");
    if (trimmed.find_first_of("\r\n") != std::string_view::npos)
      return fault(line, "the picture's name has a line end");
    rows_.push_back({line, std::string(trimmed), one_line(caption)});
  }

  std::vector<MetadataRow> take(const char* what) {
    require<DataError>(!rows_.empty() || faults_ > 0, name_, ": has no ", what);
    return std::move(rows_);
  }

 private:
  const std::string& name_;
  std::vector<Problem>& problems_;
  std::vector<MetadataRow> rows_;
  int faults_ = 0;
};

void add_csv_row(std::string_view text, const CsvRow& row, const CsvLayout& layout, RowCollector& rows) {
  const std::size_t count = row.fields.size();
  if (count <= std::max(layout.file, layout.caption)) {
    const bool only_caption_missing =
        layout.file < count && layout.caption == count && count + 1 == layout.columns;
    if (only_caption_missing) return rows.add(row.line, row.fields[layout.file].text, {});
    return rows.fault(row.line, join("has ", count, " columns; expected ", layout.columns));
  }
  if (count <= layout.columns) {
    return rows.add(row.line, row.fields[layout.file].text, row.fields[layout.caption].text);
  }
  const auto surplus = row.fields.begin() + static_cast<std::ptrdiff_t>(layout.columns) - 1;
  const bool plain = std::none_of(surplus, row.fields.end(), [](const CsvField& f) { return f.quoted; });
  const bool empty =
      std::all_of(surplus + 1, row.fields.end(), [](const CsvField& f) { return f.text.empty(); });
  if (empty) return rows.add(row.line, row.fields[layout.file].text, row.fields[layout.caption].text);
  if (layout.caption + 1 == layout.columns && plain) {
    return rows.add(row.line, row.fields[layout.file].text,
                    text.substr(surplus->begin, row.end - surplus->begin));
  }
  rows.fault(row.line, join("has ", count, " columns; expected ", layout.columns,
                            "; put a caption that holds separators in double quotes"));
}

const std::string* string_member(const nlohmann::json& object, Names names, bool& wrong_type) {
  std::vector<std::string> keys;
  std::vector<const nlohmann::json*> values;
  for (auto it = object.begin(); it != object.end(); ++it) {
    keys.push_back(column_name(it.key()));
    values.push_back(&it.value());
  }
  const std::optional<std::size_t> at = find_column(keys, names);
  if (!at) return nullptr;
  wrong_type = !values[*at]->is_string();
  return wrong_type ? nullptr : values[*at]->get_ptr<const std::string*>();
}

void add_json_line(std::string_view line_text, int line, RowCollector& rows) {
  if (line_text.size() > kMaxJsonLine) return rows.fault(line, "the line is longer than 1 MiB");
  nlohmann::json object;
  try {
    object = nlohmann::json::parse(line_text);
  } catch (const nlohmann::json::exception& error) {
    const auto* where = dynamic_cast<const nlohmann::json::parse_error*>(&error);
    return rows.fault(line, where ? join("is not valid JSON at column ", where->byte) : "is not valid JSON");
  }
  if (!object.is_object())
    return rows.fault(line, "expected a JSON object such as {\"file_name\": ..., \"text\": ...}");
  bool wrong_file = false, wrong_caption = false;
  const std::string* file = string_member(object, kFileNames, wrong_file);
  const std::string* caption = string_member(object, kCaptionNames, wrong_caption);
  if (wrong_file) return rows.fault(line, "the picture's name is not a string");
  if (wrong_caption) return rows.fault(line, "the caption is not a string");
  if (!file) return rows.fault(line, "no picture is named; expected one of the keys " + list_of(kFileNames));
  if (!caption) return rows.fault(line, "has no caption; expected one of the keys " + list_of(kCaptionNames));
  const bool has_nul = file->find('\0') != std::string::npos || caption->find('\0') != std::string::npos;
  if (has_nul) return rows.fault(line, "holds a NUL character");
  rows.add(line, *file, *caption);
}

}  // namespace

std::vector<MetadataRow> parse_metadata_csv(std::string_view text, const std::string& name,
                                            std::vector<Problem>& problems) {
  text = checked_utf8(text, name);
  require<DataError>(!trim(text).empty(), name, ": the file is empty");
  const Dialect dialect = detect_dialect(text, name);
  RowCollector rows(name, problems);
  CsvReader reader(text, dialect.separator, name);
  CsvRow row;
  if (dialect.layout.header) reader.next(row);
  while (reader.next(row)) add_csv_row(text, row, dialect.layout, rows);
  return rows.take("rows below its header");
}

std::vector<MetadataRow> parse_metadata_jsonl(std::string_view text, const std::string& name,
                                              std::vector<Problem>& problems) {
  text = checked_utf8(text, name);
  RowCollector rows(name, problems);
  int line = 1;
  for (std::size_t begin = 0; begin < text.size(); ++line) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line_text = trim(text.substr(begin, end - begin));
    if (!line_text.empty()) add_json_line(line_text, line, rows);
    begin = end + 1;
  }
  return rows.take("rows");
}

std::vector<MetadataRow> read_metadata(const std::filesystem::path& path, std::vector<Problem>& problems) {
  const std::string text = read_text_file(path, kMaxMetadataBytes);
  const std::string ext = column_name(path.extension().string());
  const bool json = ext == ".jsonl" || ext == ".ndjson" || ext == ".json";
  return json ? parse_metadata_jsonl(text, path.string(), problems)
              : parse_metadata_csv(text, path.string(), problems);
}

}  // namespace rankine
