// Metadata files: which picture has which caption.
//
// CSV: separator , ; tab or | (found by trying); UTF-8 with or without byte order mark. The first row names
// the columns, in any order, case and spelling below; other columns are ignored. Without such a row the file
// must have a picture's name in its first column (or its second, of two) and the caption in the other.
//   picture  file_name filename file image image_file image_path image_name img img_path path file_path
//            图片 图像 图片路径 图片名 文件名 文件 文件路径
//   caption  text caption prompt description captions prompts tags 提示词 描述 标题 文本 标签
// Where several columns match, the one that stands first in these lists counts. Surplus separators in a last,
// unquoted caption column belong to the caption.
//
// JSON Lines: one object per line with the same names as keys; values are strings.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "io/dataset/problem.h"

namespace rankine {

struct MetadataRow {
  int line = 0;
  std::string file;     // as written, not yet resolved or checked
  std::string caption;  // line ends and the blanks around them made one space; may be empty
};

// Rows with a fault go to `problems` (appended, with `name` and line) and not into the result. Faults that
// make the whole file unusable throw DataError "name:line: ...": not UTF-8, unclosed quote, no picture
// column, no rows.
std::vector<MetadataRow> parse_metadata_csv(std::string_view text, const std::string& name,
                                            std::vector<Problem>& problems);
std::vector<MetadataRow> parse_metadata_jsonl(std::string_view text, const std::string& name,
                                              std::vector<Problem>& problems);

// Reads the file (at most 256 MiB) and takes it for JSON Lines when it is named .jsonl, .ndjson or .json,
// else CSV.
std::vector<MetadataRow> read_metadata(const std::filesystem::path& path, std::vector<Problem>& problems);

}  // namespace rankine
