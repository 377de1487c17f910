// Which pictures are trained with which captions. Reads a folder as people leave it; never changes a file in
// it.
//
// The captions come from the first of these that is there:
//   1. DatasetOptions::metadata_path (CSV or JSON Lines, see metadata.h);
//   2. metadata.csv or metadata.jsonl in the folder;
//   3. sub-folders named "<repeats>_<name>", as the kohya trainers want them: pictures with caption files,
//   and the name
//      as caption where there is none;
//   4. pictures with caption files (same name, .txt or .caption; the first line, UTF-8) in the folder itself.
// Names in metadata are relative to the folder, else to the metadata file's own folder; a missing extension
// is found. No picture may lie outside the folder, not by "..", an absolute path or a symbolic link.
//
// The result is sorted by id and so does not depend on the order in which the disk lists a folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "io/dataset/problem.h"
#include "io/image/image.h"

namespace rankine {

struct Sample {
  std::filesystem::path image;
  std::string id;  // path relative to its folder, '/' between parts; "regularisation:" before it for those
  std::string caption;
  int repeats = 1;
  bool regularisation = false;
  ImageSize size;  // filled by check_images; 0 x 0 before
};

struct Dataset {
  std::vector<Sample> samples;  // without those that an error names
  std::vector<Problem> problems;
};

struct DatasetOptions {
  std::filesystem::path data_dir;
  std::filesystem::path metadata_path;       // empty: looked for in data_dir
  std::filesystem::path regularisation_dir;  // empty: none. Read like data_dir: prior preservation
  std::string default_caption;               // for pictures without one
  std::string regularisation_caption;        // likewise, e.g. "a dog"
  std::string caption_extension;             // ".txt" say; empty: .txt, else .caption
};

// Lists all problems instead of stopping at the first: missing pictures and captions, duplicates, unsupported
// formats, names that leave the folder, broken rows. Throws IoError when a folder or metadata file cannot be
// read at all and DataError "file:line: ..." when a metadata file has no usable structure.
Dataset scan_dataset(const DatasetOptions& options);

struct CheckOptions {
  int threads = 2;
  bool full_decode = true;  // false: headers only, for the sizes
};

// Opens every picture. Fills Sample::size, adds an error for each unreadable one and removes it from the
// samples, and (full_decode) adds a warning for each training picture whose bytes equal another's.
void check_images(Dataset& dataset, const CheckOptions& options = {});

enum class OnBadData : std::uint8_t {
  fail,  // one error is enough to refuse the dataset
  skip   // train on what is left
};

// Throws DataError, listing the errors (the first 20 and how many more), if the policy is fail and there is
// one, or if no training picture is left.
void require_usable(const Dataset& dataset, OnBadData policy);

}  // namespace rankine
