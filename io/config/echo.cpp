#include "io/config/echo.h"

#include "io/config/codec.h"

namespace rankine::config {
namespace {

bool is_plain_word(const std::string& s) {
  if (s.empty() || s.size() > 200) return false;
  for (const std::string_view word : {"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
    if (s == word) return false;
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const bool path_start =
      s.front() == '/' || (s.front() == '.' && s.size() > 1 && (s[1] == '/' || s[1] == '.'));
  if (!letter(s.front()) && !path_start) return false;
  for (const char c : s)
    if (!letter(c) && !(c >= '0' && c <= '9') && std::string_view("._/-").find(c) == std::string_view::npos)
      return false;
  return true;
}

// "5.0e-5", because readers of YAML 1.1 take "5e-5" for text.
std::string real(double value) {
  std::string text = format_number(value);
  const std::size_t e = text.find('e');
  if (e != std::string::npos && text.find('.') == std::string::npos) text.insert(e, ".0");
  return text;
}

std::string scalar(const Json& value) {
  if (value.is_number_float()) return real(value.get<double>());
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  return is_plain_word(text) ? text : value.dump();
}

std::string pad(int n) { return std::string(static_cast<std::size_t>(n), ' '); }

}  // namespace

std::string inline_yaml(const Json& value) {
  if (value.is_array()) {
    std::string out;
    for (const Json& item : value) out += join(out.empty() ? "" : ", ", inline_yaml(item));
    return join("[", out, "]");
  }
  if (value.is_object()) {
    std::string out;
    for (const auto& [key, item] : value.items())
      if (!item.is_null()) out += join(out.empty() ? "" : ", ", key, ": ", inline_yaml(item));
    return join("{", out, "}");
  }
  return scalar(value);
}

namespace {

// A list of maps, or a map, is written over several lines; all else fits on one.
std::string block_yaml(const Json& value, int indent) {
  std::string out;
  if (value.is_object()) {
    for (const auto& [key, item] : value.items())
      if (!item.is_null()) out += join("\n", pad(indent), key, ":", block_yaml(item, indent + 2));
    return out.empty() ? " {}" : out;
  }
  if (!value.is_array() || value.empty() || !value.front().is_object()) return join(" ", inline_yaml(value));
  for (const Json& item : value) out += join("\n", pad(indent), "- ", inline_yaml(item));
  return out;
}

bool is_unset(const Field<RunConfig>& field, const Json& value) {
  return value.is_null() || (field.info.form == TextForm::path && value == "");
}

}  // namespace

std::string to_yaml(const RunConfig& config) {
  std::string out = "# The effective configuration of a run: every key with the value it had.\n";
  std::string section;
  for (const Field<RunConfig>& field : table_of<RunConfig>()) {
    if (!has_effect(field.info, config)) continue;
    if (field.section != section) {
      section = field.section;
      out += join("\n# ", section, "\n");
    }
    const Json value = field.value(config);
    if (is_unset(field, value)) continue;
    const bool comment = field.info.key == "preset";  // its values are already in place
    out += join(comment ? "# " : "", field.info.key, ":", block_yaml(value, 2), "\n");
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> to_key_values(const RunConfig& config) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const Field<RunConfig>& field : table_of<RunConfig>()) {
    if (!has_effect(field.info, config)) continue;
    const Json value = field.value(config);
    if (!is_unset(field, value)) out.emplace_back(field.info.key, inline_yaml(value));
  }
  return out;
}

}  // namespace rankine::config
