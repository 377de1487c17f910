// How each type of the run file is read, written, described and named. Codec<T> has
//   read(node, out, info, reader, path)   adds problems to the reader; `out` is only changed by a good value
//   json(value)                           the value as it is written in the file
//   schema(info), type_name(info), allowed(info)
#pragma once

#include <optional>

#include "io/config/field.h"

namespace rankine::config {

template <class T>
struct Codec;

std::string allowed_numbers(const FieldInfo& info);  // "1 to 1024", "more than 0, at most 1"; empty: no limit
std::string format_number(double value);             // shortest text that reads back to the same value
std::string describe_node(const YamlNode& node);     // "the text 'abc'", "a list", "nothing"
std::string nearest_hint(std::string_view word,
                         const std::vector<std::string>& names);  // ", did you mean x?"

template <>
struct Codec<bool> {
  static void read(const YamlNode& node, bool& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(bool value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<std::int64_t> {
  static void read(const YamlNode& node, std::int64_t& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(std::int64_t value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<double> {
  static void read(const YamlNode& node, double& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(double value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<std::string> {
  static void read(const YamlNode& node, std::string& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(const std::string& value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<Resolution> {
  static void read(const YamlNode& node, Resolution& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(const Resolution& value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<Warmup> {
  static void read(const YamlNode& node, Warmup& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(const Warmup& value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<DeviceChoice> {
  static void read(const YamlNode& node, DeviceChoice& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(const DeviceChoice& value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};
template <>
struct Codec<MemoryBudget> {
  static void read(const YamlNode& node, MemoryBudget& out, const FieldInfo& info, Reader& reader,
                   const std::string& path);
  static Json json(const MemoryBudget& value);
  static Json schema(const FieldInfo& info);
  static std::string type_name(const FieldInfo& info);
  static std::string allowed(const FieldInfo& info);
};

// Enums: one of the names of EnumNames<E>.
void read_choice(const YamlNode&, const std::vector<std::string>& names, Reader&, const std::string& path,
                 std::size_t& index);
std::string list_choices(const std::vector<std::string>& names);

template <class E>
requires std::is_enum_v<E>
struct Codec<E> {
  static std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& entry : EnumNames<E>::value) out.emplace_back(entry.first);
    return out;
  }
  static void read(const YamlNode& node, E& out, const FieldInfo&, Reader& reader, const std::string& path) {
    std::size_t index = EnumNames<E>::value.size();
    read_choice(node, names(), reader, path, index);
    if (index < EnumNames<E>::value.size()) out = EnumNames<E>::value[index].second;
  }
  static Json json(E value) { return std::string(name_of(value)); }
  static Json schema(const FieldInfo&) { return Json{{"enum", names()}}; }
  static std::string type_name(const FieldInfo&) { return "choice"; }
  static std::string allowed(const FieldInfo&) { return list_choices(names()); }
};

// An empty value (or null, ~) means: not set.
template <class T>
struct Codec<std::optional<T>> {
  static void read(const YamlNode& node, std::optional<T>& out, const FieldInfo& info, Reader& reader,
                   const std::string& path) {
    if (node.kind == YamlNode::Kind::null) {
      out.reset();
      return;
    }
    T value = out.value_or(T{});
    const std::size_t before = reader.problems.size();
    Codec<T>::read(node, value, info, reader, path);
    const bool partly_good = kHasTable<T> && node.kind == YamlNode::Kind::map;
    if (partly_good || reader.problems.size() == before) out = std::move(value);
  }
  static Json json(const std::optional<T>& value) { return value ? Codec<T>::json(*value) : Json(); }
  static Json schema(const FieldInfo& info) {
    return Json{{"anyOf", Json::array({Codec<T>::schema(info), Json{{"type", "null"}}})}};
  }
  static std::string type_name(const FieldInfo& info) { return Codec<T>::type_name(info); }
  static std::string allowed(const FieldInfo& info) { return Codec<T>::allowed(info); }
};

template <class T>
struct Codec<std::vector<T>> {
  static void read(const YamlNode& node, std::vector<T>& out, const FieldInfo& info, Reader& reader,
                   const std::string& path) {
    if (node.kind != YamlNode::Kind::sequence)
      return reader.fail(node, path, "expected a list, got " + describe_node(node));
    std::vector<T> values;
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      T value{};
      Codec<T>::read(node.items[i], value, info, reader, join(path, "[", i, "]"));
      values.push_back(std::move(value));
    }
    out = std::move(values);
  }
  static Json json(const std::vector<T>& values) {
    Json out = Json::array();
    for (const T& value : values) out.push_back(Codec<T>::json(value));
    return out;
  }
  static Json schema(const FieldInfo& info) {
    return Json{{"type", "array"}, {"items", Codec<T>::schema(info)}};
  }
  static std::string type_name(const FieldInfo& info) { return "list of " + Codec<T>::type_name(info); }
  static std::string allowed(const FieldInfo& info) { return Codec<T>::allowed(info); }
};

// Structs with a table: maps.
void report_unknown_key(const YamlEntry& entry, const std::string& path, const std::vector<FieldInfo>& known,
                        Reader& reader);

template <class S>
void read_map(const YamlNode& node, S& out, Reader& reader, const std::string& path) {
  if (node.kind == YamlNode::Kind::null) return;
  if (node.kind != YamlNode::Kind::map)
    return reader.fail(node, path, "expected a map of keys and values, got " + describe_node(node));
  const Table<S>& table = table_of<S>();
  for (const YamlEntry& entry : node.entries) {
    const Field<S>* field = nullptr;
    for (const Field<S>& candidate : table)
      if (candidate.info.key == entry.key) field = &candidate;
    const std::string full = path.empty() ? entry.key : path + "." + entry.key;
    if (field == nullptr) {
      std::vector<FieldInfo> known;
      for (const Field<S>& candidate : table) known.push_back(candidate.info);
      report_unknown_key(entry, full, known, reader);
      continue;
    }
    if (path.empty()) reader.seen[entry.key] = {reader.layer, entry.at};
    field->read(entry.value, out, reader, full);
  }
}

template <class S>
Json map_json(const S& value) {
  Json out = Json::object();
  for (const Field<S>& field : table_of<S>()) out[std::string(field.info.key)] = field.value(value);
  return out;
}

// The schema of a map, with a description and a default for every key.
template <class S>
Json map_schema() {
  Json properties = Json::object();
  Json required = Json::array();
  const S defaults{};
  for (const Field<S>& field : table_of<S>()) {
    const std::string key(field.info.key);
    Json entry = field.schema;
    std::string description(field.info.doc);
    if (!field.info.unit.empty()) description += join(" Unit: ", field.info.unit, ".");
    if (!field.info.not_set.empty()) description += join(" Not set: ", field.info.not_set, ".");
    entry["description"] = description;
    if (field.info.required) {
      required.push_back(key);
    } else if (Json value = field.value(defaults); !value.is_null()) {
      entry["default"] = std::move(value);
    }
    properties[key] = std::move(entry);
  }
  Json out{{"type", "object"}, {"additionalProperties", false}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

// A preview may be written as one text instead of a map.
void read_prompt_text(const YamlNode& node, SamplePrompt& out, Reader& reader, const std::string& path);

template <class S>
requires kHasTable<S>
struct Codec<S> {
  static constexpr bool kTextToo = std::is_same_v<S, SamplePrompt>;
  static void read(const YamlNode& node, S& out, const FieldInfo&, Reader& reader, const std::string& path) {
    if constexpr (kTextToo) {
      read_prompt_text(node, out, reader, path);
    } else {
      read_map(node, out, reader, path);
    }
  }
  static Json json(const S& value) { return map_json(value); }
  static Json schema(const FieldInfo&) {
    Json map = map_schema<S>();
    if (!kTextToo) return map;
    return Json{{"anyOf", Json::array({Json{{"type", "string"}}, std::move(map)})}};
  }
  static std::string type_name(const FieldInfo&) { return kTextToo ? "text or map" : "map"; }
  static std::string allowed(const FieldInfo&) { return ""; }
};

// s.*a.*b...
template <class S, class M>
auto& follow(S& s, M member) {
  return s.*member;
}
template <class S, class M, class... Rest>
auto& follow(S& s, M member, Rest... rest) {
  return follow(s.*member, rest...);
}

template <class T>
inline constexpr bool kIsOptional = false;
template <class T>
inline constexpr bool kIsOptional<std::optional<T>> = true;
template <class T>
inline constexpr bool kIsText =
    std::is_same_v<T, std::string> || std::is_same_v<T, std::optional<std::string>>;

// Describes the member of S reached by `members`, for example &RunConfig::adapter,
// &AdapterSection::lora_rank.
template <class S, class... Members>
Field<S> field(FieldInfo info, Members... members) {
  using T = std::remove_reference_t<decltype(follow(std::declval<S&>(), members...))>;
  Field<S> out;
  out.type = Codec<T>::type_name(info);
  out.allowed = Codec<T>::allowed(info);
  out.is_text = kIsText<T>;
  out.optional = kIsOptional<T>;
  out.schema = Codec<T>::schema(info);
  out.read = [info, members...](const YamlNode& node, S& s, Reader& reader, const std::string& path) {
    Codec<T>::read(node, follow(s, members...), info, reader, path);
  };
  out.value = [members...](const S& s) { return Codec<T>::json(follow(s, members...)); };
  out.info = std::move(info);
  return out;
}

}  // namespace rankine::config
