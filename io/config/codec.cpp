#include "io/config/codec.h"

#include <algorithm>
#include <cmath>

#include "io/config/parse_number.h"
#include "io/config/suggest.h"

namespace rankine::config {
namespace {

using Kind = YamlNode::Kind;

constexpr std::string_view kNamePattern = "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$";

bool is_safe_name(std::string_view s) {
  const auto allowed = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  return !s.empty() && s.size() <= 100 && s.front() != '.' && std::all_of(s.begin(), s.end(), allowed);
}

std::string bare(std::string_view text) { return join("; write ", text, " without quotes"); }

std::string range_problem(const FieldInfo& info, double value) {
  const bool low = info.above_min ? value <= info.min : value < info.min;
  const bool high = info.below_max ? value >= info.max : value > info.max;
  const bool uneven = info.multiple_of > 1 && std::fmod(value, static_cast<double>(info.multiple_of)) != 0;
  const auto is_value = [value](std::int64_t choice) { return static_cast<double>(choice) == value; };
  const bool no_choice =
      !info.choices.empty() && std::none_of(info.choices.begin(), info.choices.end(), is_value);
  if (!low && !high && !uneven && !no_choice) return "";
  return join(format_number(value), " is not allowed; allowed: ", allowed_numbers(info));
}

void number_schema(Json& out, const FieldInfo& info) {
  const auto bound = [&](const char* key, double limit) {
    if (!std::isfinite(limit)) return;
    if (std::floor(limit) == limit && std::abs(limit) < 9e15) {
      out[key] = static_cast<std::int64_t>(limit);
    } else {
      out[key] = limit;
    }
  };
  bound(info.above_min ? "exclusiveMinimum" : "minimum", info.min);
  bound(info.below_max ? "exclusiveMaximum" : "maximum", info.max);
  if (info.multiple_of > 1) out["multipleOf"] = info.multiple_of;
}

}  // namespace

std::string format_number(double value) {
  if (std::floor(value) == value && std::abs(value) < 1e15)
    return std::to_string(static_cast<std::int64_t>(value));
  char buffer[32];
  const auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
  std::string text(buffer, result.ptr);
  const std::size_t e = text.find('e');  // "1e-04" is the same number as "1e-4"
  if (e != std::string::npos && e + 2 < text.size() && text[e + 2] == '0') text.erase(e + 2, 1);
  return text;
}

std::string allowed_numbers(const FieldInfo& info) {
  std::string text;
  if (!info.choices.empty()) {
    std::vector<std::string> names;
    for (const std::int64_t choice : info.choices) names.push_back(std::to_string(choice));
    return list_choices(names);
  }
  const bool low = std::isfinite(info.min);
  const bool high = std::isfinite(info.max);
  const std::string min = format_number(info.min);
  const std::string max = format_number(info.max);
  if (low && high && !info.above_min && !info.below_max) {
    text = join(min, " to ", max);
  } else {
    if (low) text = info.above_min ? join("more than ", min) : join(min, " or more");
    if (high) text += join(text.empty() ? "" : ", ", info.below_max ? "less than " : "at most ", max);
  }
  if (info.multiple_of > 1) text += join(text.empty() ? "" : ", ", "a multiple of ", info.multiple_of);
  return text;
}

std::string describe_node(const YamlNode& node) {
  switch (node.kind) {
    case Kind::null:
      return "nothing";
    case Kind::sequence:
      return "a list";
    case Kind::map:
      return "a map";
    case Kind::scalar:
      break;
  }
  constexpr std::size_t kMaxShown = 60;
  std::string text = node.text.substr(0, kMaxShown);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return join("'", text, node.text.size() > kMaxShown ? "...'" : "'");
}

std::string nearest_hint(std::string_view word, const std::vector<std::string>& names) {
  const auto found = nearest(word, names);
  return found ? join(", did you mean ", *found, "?") : "";
}

std::string list_choices(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

void read_choice(const YamlNode& node, const std::vector<std::string>& names, Reader& reader,
                 const std::string& path, std::size_t& index) {
  if (node.kind != Kind::scalar)
    return reader.fail(node, path,
                       join("expected one of ", list_choices(names), "; got ", describe_node(node)));
  const auto found = std::find(names.begin(), names.end(), node.text);
  if (found == names.end()) {
    return reader.fail(node, path,
                       join(describe_node(node), " is not allowed; allowed: ", list_choices(names),
                            nearest_hint(node.text, names)));
  }
  index = static_cast<std::size_t>(found - names.begin());
}

void report_unknown_key(const YamlEntry& entry, const std::string& path, const std::vector<FieldInfo>& known,
                        Reader& reader) {
  std::vector<std::string> names;
  for (const FieldInfo& info : known) {
    names.emplace_back(info.key);
    std::string_view aliases = info.known_as;
    while (!aliases.empty()) {
      const std::size_t end = std::min(aliases.find(' '), aliases.size());
      if (aliases.substr(0, end) == entry.key) {
        reader.problems.add(entry.at, path, join("unknown key; here it is called ", info.key));
        return;
      }
      aliases.remove_prefix(std::min(end + 1, aliases.size()));
    }
  }
  const std::string hint = nearest_hint(entry.key, names);
  // The line of a key that looks like a password is not repeated: messages end up in logs.
  bool secret = false;
  for (const std::string_view word : {"token", "secret", "password", "passwd", "api_key", "apikey"})
    secret = secret || entry.key.find(word) != std::string::npos;
  std::string message = "unknown key" + hint;
  if (secret && hint.empty())
    message += "; secrets do not belong into a run file, use an environment variable";
  reader.problems.add(entry.at, path, message, secret ? Problems::Excerpt::hide : Problems::Excerpt::show);
}

void read_prompt_text(const YamlNode& node, SamplePrompt& out, Reader& reader, const std::string& path) {
  if (node.kind == Kind::scalar) {
    out.prompt = node.text;
  } else if (node.kind == Kind::map) {
    read_map(node, out, reader, path);
    const bool has_prompt = std::any_of(node.entries.begin(), node.entries.end(),
                                        [](const YamlEntry& entry) { return entry.key == "prompt"; });
    if (!has_prompt) reader.fail(node, path, "the key prompt is missing");
  } else {
    reader.fail(node, path, "expected a text or a map with the key prompt, got " + describe_node(node));
  }
}

void Codec<bool>::read(const YamlNode& node, bool& out, const FieldInfo&, Reader& reader,
                       const std::string& path) {
  if (node.kind == Kind::scalar && !node.quoted && (node.text == "true" || node.text == "false")) {
    out = node.text == "true";
    return;
  }
  std::string hint;
  std::string word = node.text;
  std::transform(word.begin(), word.end(), word.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (word == "yes" || word == "on" || word == "1" || word == "true") hint = ", did you mean true?";
  if (word == "no" || word == "off" || word == "0" || word == "false") hint = ", did you mean false?";
  reader.fail(node, path, join("expected true or false, got ", describe_node(node), hint));
}
Json Codec<bool>::json(bool value) { return value; }
Json Codec<bool>::schema(const FieldInfo&) { return Json{{"type", "boolean"}}; }
std::string Codec<bool>::type_name(const FieldInfo&) { return "true or false"; }
std::string Codec<bool>::allowed(const FieldInfo&) { return ""; }

void Codec<std::int64_t>::read(const YamlNode& node, std::int64_t& out, const FieldInfo& info, Reader& reader,
                               const std::string& path) {
  std::int64_t value = 0;
  const bool whole = node.kind == Kind::scalar && parse_number(node.text, value);
  if (!whole || node.quoted)
    return reader.fail(
        node, path, join("expected a whole number, got ", describe_node(node), whole ? bare(node.text) : ""));
  const std::string problem = range_problem(info, static_cast<double>(value));
  if (!problem.empty()) return reader.fail(node, path, problem);
  out = value;
}
Json Codec<std::int64_t>::json(std::int64_t value) { return value; }
Json Codec<std::int64_t>::schema(const FieldInfo& info) {
  if (!info.choices.empty()) return Json{{"enum", info.choices}};
  Json out{{"type", "integer"}};
  number_schema(out, info);
  return out;
}
std::string Codec<std::int64_t>::type_name(const FieldInfo&) { return "whole number"; }
std::string Codec<std::int64_t>::allowed(const FieldInfo& info) { return allowed_numbers(info); }

void Codec<double>::read(const YamlNode& node, double& out, const FieldInfo& info, Reader& reader,
                         const std::string& path) {
  double value = 0;
  const bool real = node.kind == Kind::scalar && parse_real(node.text, value);
  if (!real || node.quoted)
    return reader.fail(node, path,
                       join("expected a number, got ", describe_node(node), real ? bare(node.text) : ""));
  const std::string problem = range_problem(info, value);
  if (!problem.empty()) return reader.fail(node, path, problem);
  out = value;
}
Json Codec<double>::json(double value) { return value; }
Json Codec<double>::schema(const FieldInfo& info) {
  Json out{{"type", "number"}};
  number_schema(out, info);
  return out;
}
std::string Codec<double>::type_name(const FieldInfo&) { return "number"; }
std::string Codec<double>::allowed(const FieldInfo& info) { return allowed_numbers(info); }

void Codec<std::string>::read(const YamlNode& node, std::string& out, const FieldInfo& info, Reader& reader,
                              const std::string& path) {
  if (node.kind != Kind::scalar)
    return reader.fail(node, path, join("expected a ", type_name(info), ", got ", describe_node(node)));
  if (!info.texts.empty()) {
    std::size_t index = info.texts.size();
    read_choice(node, info.texts, reader, path, index);
    if (index < info.texts.size()) out = info.texts[index];
    return;
  }
  if (node.text.find('\0') != std::string::npos)
    return reader.fail(node, path, "a NUL character is not allowed");
  if ((info.form == TextForm::path || info.form == TextForm::some) && node.text.empty())
    return reader.fail(node, path, join("the ", type_name(info), " is empty"));
  if (info.form == TextForm::name && !is_safe_name(node.text))
    return reader.fail(node, path, join(describe_node(node), " is not allowed; allowed: ", allowed(info)));
  out = node.text;
}
Json Codec<std::string>::json(const std::string& value) { return value; }
Json Codec<std::string>::schema(const FieldInfo& info) {
  if (!info.texts.empty()) return Json{{"enum", info.texts}};
  Json out{{"type", "string"}};
  if (info.form == TextForm::path || info.form == TextForm::some) out["minLength"] = 1;
  if (info.form == TextForm::name) out["pattern"] = kNamePattern;
  return out;
}
std::string Codec<std::string>::type_name(const FieldInfo& info) {
  if (!info.texts.empty()) return "choice";
  return info.form == TextForm::path ? "path" : info.form == TextForm::name ? "name" : "text";
}
std::string Codec<std::string>::allowed(const FieldInfo& info) {
  if (!info.texts.empty()) return list_choices(info.texts);
  return info.form == TextForm::name ? "1 to 100 of A-Z a-z 0-9 . _ -, no dot first" : "";
}

}  // namespace rankine::config
