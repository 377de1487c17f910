// A YAML document as a plain tree with the place of every node, within strict limits.
//
// Limits: kMaxRunFileBytes, depth 32, 50,000 nodes (aliases count as what they stand for), 64 aliases, one
// document, UTF-8. Refused: tags, merge keys (<<), keys that are no plain text, and a key that stands twice.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/config/problems.h"

namespace rankine::config {

struct YamlEntry;

struct YamlNode {
  enum class Kind { null, scalar, sequence, map };
  Kind kind = Kind::null;
  bool quoted = false;  // a scalar written in quotes or as a block
  std::string text;     // of a scalar
  Location at;
  std::vector<YamlNode> items;     // of a sequence
  std::vector<YamlEntry> entries;  // of a map, in the order of the file, keys unique
};

struct YamlEntry {
  std::string key;
  Location at;  // of the key
  YamlNode value;
};

// Parses `text`, which must be the text of source number `source` of `problems`. Duplicate keys, tags and
// merge keys are added to `problems`; a broken document or a passed limit throws InvalidRunConfig with all
// problems so far. An empty document is a null node.
YamlNode parse_yaml(std::string_view text, int source, Problems& problems);

}  // namespace rankine::config
