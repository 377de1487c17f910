// One key of the run file, described once: the reader, the checks, the schema, the echo and the documentation
// are all made from tables of these.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "io/config/problems.h"
#include "io/config/run_config.h"
#include "io/config/yaml_tree.h"

namespace rankine::config {

using Json = nlohmann::ordered_json;

inline constexpr double kNoLimit = std::numeric_limits<double>::infinity();

enum class TextForm {
  any,   // free text, may be empty
  some,  // free text, not empty
  path,  // not empty
  name,  // [A-Za-z0-9._-]{1,100}, no leading dot: safe as a file name
};

// What is said about a key. Ranges hold for numbers, for every number of a list, and for both sides of a
// size.
enum class KeyOf : std::uint8_t { every_task, picture_task, text_task };
struct FieldInfo {
  std::string_view key;
  std::string_view doc;
  std::string_view unit = {};
  std::string_view not_set = {};   // what an optional key means when it is not set
  std::string_view known_as = {};  // names other trainers give it, separated by blanks, for suggestions
  double min = -kNoLimit;
  double max = kNoLimit;
  bool above_min = false;  // the minimum itself is not allowed
  bool below_max = false;
  std::int64_t multiple_of = 1;
  std::vector<std::int64_t> choices = {};  // the only allowed numbers, when not empty
  std::vector<std::string> texts = {};     // the only allowed texts, when not empty
  TextForm form = TextForm::any;
  bool required = false;
  bool lora_only = false;        // means nothing with method: full, where it is an error
  KeyOf of = KeyOf::every_task;  // means nothing to other tasks, where it is an error
};

// Whether a key means anything in this run.
bool has_effect(const FieldInfo& info, const RunConfig& config);

// Where a key was given, and in which layer; a later layer replaces an earlier one.
enum class Layer { preset, file, override_ };
struct Origin {
  Layer layer = Layer::file;
  Location at;
};

// State of one read: the layer being read, and where each top-level key was given.
struct Reader {
  Problems& problems;
  Layer layer = Layer::file;
  std::map<std::string, Origin, std::less<>> seen = {};

  void fail(const YamlNode& node, std::string_view path, std::string message) {
    problems.add(node.at, std::string(path), std::move(message));
  }
};

// A key of the struct S with its type erased.
template <class S>
struct Field {
  FieldInfo info;
  std::string type;      // for people: "whole number", "path", "list of text"
  std::string allowed;   // for people: "1 to 1024", "a, b or c"; may be empty
  bool is_text = false;  // --set takes the value literally
  bool optional = false;
  std::function<void(const YamlNode&, S&, Reader&, const std::string& path)> read;
  std::function<Json(const S&)> value;  // null when an optional key is not set
  Json schema;                          // without description and default
  std::string section = {};
};

template <class S>
using Table = std::vector<Field<S>>;

// The tables. Each is defined once, in fields_*.cpp.
template <class S>
inline constexpr bool kHasTable = false;
template <class S>
const Table<S>& table_of();

template <>
inline constexpr bool kHasTable<RunConfig> = true;
template <>
inline constexpr bool kHasTable<SamplePrompt> = true;
template <>
inline constexpr bool kHasTable<NewModel> = true;
template <>
inline constexpr bool kHasTable<NewUnet> = true;
template <>
inline constexpr bool kHasTable<NewVae> = true;
template <>
inline constexpr bool kHasTable<NewTextEncoder> = true;
template <>
inline constexpr bool kHasTable<NewDecoder> = true;
template <>
inline constexpr bool kHasTable<CustomTemplate> = true;
template <>
const Table<RunConfig>& table_of();
template <>
const Table<SamplePrompt>& table_of();
template <>
const Table<NewModel>& table_of();
template <>
const Table<NewUnet>& table_of();
template <>
const Table<NewVae>& table_of();
template <>
const Table<NewTextEncoder>& table_of();
template <>
const Table<NewDecoder>& table_of();
template <>
const Table<CustomTemplate>& table_of();

// The parts of table_of<RunConfig>(), in order.
Table<RunConfig> model_fields();
Table<RunConfig> data_fields();
Table<RunConfig> text_fields();
Table<RunConfig> adapter_fields();
Table<RunConfig> optim_fields();
Table<RunConfig> objective_fields();
Table<RunConfig> output_fields();
Table<RunConfig> machine_fields();

}  // namespace rankine::config
