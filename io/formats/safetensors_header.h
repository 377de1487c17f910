// Internal to safetensors_read.cpp: the header's JSON, checked for its form but not yet against the file.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/formats/safetensors.h"

namespace rankine::safetensors_detail {

// A tensor as the header describes it.
struct Entry {
  std::string dtype;
  std::vector<std::uint64_t> shape;
  std::uint64_t begin = 0, end = 0;
};

struct Table {
  std::map<std::string, Entry, std::less<>> entries;
  MetadataTable metadata;
};

// `text` stands at byte 8 of file `name`. Throws DataError.
Table read_header(std::string_view text, const std::string& name);

}  // namespace rankine::safetensors_detail
