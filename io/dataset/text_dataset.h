// Text to train on: a folder or a file, as people leave them, made conversations. Never changes a file.
//
// A file is read by its content and name: .json (a list of objects, or objects one after the other), .jsonl
// and .ndjson (one object a line; a list is understood too), .csv and .tsv (separator , ; tab or | found by
// trying; the first row names the columns; messages and history are JSON text in their cells), .txt (JSON
// Lines when its first line is an object, else plain text, see TextSplit). The layouts of a row are in
// text_rows.h. UTF-8 with or without byte order mark, any line ends.
//
// A folder is read without its sub-folders, files in the order of their names. Passed over: names that begin
// with '.' or '_'; .json files that are one object and no row, such as dataset_info.json (with a warning);
// .txt files where there is any other readable file, since they are then notes or a licence; all other kinds.
//
// Files are mapped and read row by row: memory is that of the rows, not of the file's JSON.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/dataset/dataset.h"
#include "io/dataset/problem.h"
#include "io/dataset/text_rows.h"

namespace rankine {

// What is one row of a plain text file.
enum class TextSplit : std::uint8_t {
  document,   // the whole file; later cut into windows of the length that is trained
  paragraph,  // what stands between blank lines
  line
};

struct TextDatasetOptions {
  std::filesystem::path path;  // folder or file
  TextColumns columns;
  TextSplit text_split = TextSplit::document;
};

struct TextDataset {
  std::vector<Conversation> rows;  // without those that an error names; in the order of the files
  std::vector<Problem> problems;   // the first 1,000
  std::size_t unlisted_errors = 0;
};

// Lists all problems instead of stopping at the first. Throws IoError when the path or a file cannot be read,
// and DataError when the path is no known kind of file or the folder has none.
TextDataset load_text_dataset(const TextDatasetOptions& options);

// The same of a file's bytes; `name` says by its extension what they are, and stands in messages.
// options.path is not looked at. DataError when the extension is none of those above.
TextDataset parse_text_dataset(std::string_view bytes, const std::string& name,
                               const TextDatasetOptions& options);

// Throws DataError, listing the errors (the first 20 and how many more), if the policy is fail and there is
// one, or if no row is left.
void require_usable(const TextDataset& dataset, OnBadData policy);

struct TextSplitResult {
  std::vector<Conversation> train, eval;
};

// For a run without an evaluation file of its own (such a file is read like any other): sets
// round(fraction * rows) rows aside for evaluation, at least one: chosen by the seed, in the order they
// came. Rows that share their first question (or their text) stay on one side, so the number may be a few
// less. Throws std::invalid_argument unless 0 < fraction < 1, and DataError when a side would be empty.
TextSplitResult split_eval(std::vector<Conversation> rows, double fraction, std::uint64_t seed);

}  // namespace rankine
