#include "io/dataset/text_fields.h"

#include <algorithm>
#include <span>

#include "engine/core/error.h"
#include "io/dataset/text_file.h"

namespace rankine::text_fields {

namespace {

using nlohmann::json;
using Names = std::span<const std::string_view>;

constexpr std::string_view kMessages[] = {"messages", "conversations", "conversation", "dialog"};
constexpr std::string_view kInstruction[] = {"instruction", "prompt", "question", "query",   "指令",
                                             "问题",        "提问",   "提示词",   "context", "上下文"};
constexpr std::string_view kInput[] = {"input", "输入", "context", "上下文"};
constexpr std::string_view kOutput[] = {"output", "response", "answer", "completion", "target",
                                        "reply",  "输出",     "回答",   "答案",       "回复"};
constexpr std::string_view kHistory[] = {"history", "历史"};
constexpr std::string_view kSystem[] = {"system", "system_prompt", "系统", "系统提示"};
constexpr std::string_view kText[] = {"text", "文本", "content"};
constexpr std::string_view kInstances[] = {"instances"};
constexpr std::string_view kRole[] = {"role", "from"};
constexpr std::string_view kContent[] = {"content", "value"};
constexpr std::string_view kTrained[] = {"weight", "train"};

Names names_of(Field field) {
  switch (field) {
    case Field::messages:
      return kMessages;
    case Field::instruction:
      return kInstruction;
    case Field::input:
      return kInput;
    case Field::output:
      return kOutput;
    case Field::history:
      return kHistory;
    case Field::system:
      return kSystem;
    case Field::text:
      return kText;
    case Field::instances:
      return kInstances;
    case Field::role:
      return kRole;
    case Field::content:
      return kContent;
    case Field::trained:
      return kTrained;
  }
  return {};
}

std::string list_of(Names names) {
  std::string out;
  for (const std::string_view name : names) out += (out.empty() ? "" : ", ") + std::string(name);
  return out;
}

const std::string& override_of(const TextColumns& columns, Field field) {
  static const std::string kNone;
  switch (field) {
    case Field::messages:
      return columns.messages;
    case Field::instruction:
      return columns.instruction;
    case Field::input:
      return columns.input;
    case Field::output:
      return columns.output;
    case Field::history:
      return columns.history;
    case Field::system:
      return columns.system;
    case Field::text:
      return columns.text;
    default:
      return kNone;
  }
}

}  // namespace

std::string key_name(std::string_view key) {
  std::string name(trim(key));
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == ' ' || c == '-') c = '_';
  }
  return name;
}

Fields::Fields(const json& row, const TextColumns& columns) : columns_(columns) {
  for (auto it = row.begin(); it != row.end(); ++it) {
    if (!it.value().is_null()) values_.emplace_back(key_name(it.key()), &it.value());
  }
}

const json* Fields::value_of(std::string_view key) const {
  for (const auto& [name, value] : values_) {
    if (name == key) return value;
  }
  return nullptr;
}

// The key that stands for a field; empty when there is none. A context is the question where nothing else is.
std::string_view Fields::chosen(Field field) const {
  if (const std::string& key = override_of(columns_, field); !key.empty()) {
    const std::string wanted = key_name(key);
    for (const auto& [name, value] : values_) {
      if (name == wanted) return name;
    }
    return {};
  }
  const std::string_view taken = field == Field::input ? chosen(Field::instruction) : std::string_view();
  for (const std::string_view name : names_of(field)) {
    if (name != taken && value_of(name) != nullptr) return name;
  }
  return {};
}

const json* Fields::find(Field field) const {
  const std::string_view key = chosen(field);
  return key.empty() ? nullptr : value_of(key);
}

// A key that the user named for one layout keeps the others out.
Layout Fields::layout() const {
  const bool named_pair = !columns_.instruction.empty() || !columns_.output.empty();
  const bool may_chat = !columns_.messages.empty() || (!named_pair && columns_.text.empty());
  const bool may_pair = columns_.messages.empty() && (named_pair || columns_.text.empty());
  const bool may_text = !columns_.text.empty() || (columns_.messages.empty() && !named_pair);
  const json* messages = find(Field::messages);
  const bool is_list =
      messages != nullptr &&
      (messages->is_array() || !columns_.messages.empty() ||
       (messages->is_string() && trim(messages->get_ref<const std::string&>()).starts_with('[')));
  if (may_chat && is_list) return Layout::chat;
  const bool question = find(Field::instruction) != nullptr;
  if (may_pair && question && find(Field::output) != nullptr) return Layout::instruction;
  const json* instances = find(Field::instances);
  if (may_pair && question && instances != nullptr && instances->is_array()) return Layout::seed_task;
  return may_text && find(Field::text) != nullptr ? Layout::completion : Layout::none;
}

std::string Fields::text(Field field) const {
  const std::string_view key = chosen(field);
  if (key.empty()) return {};
  const json& value = *value_of(key);
  require<DataError>(value.is_string(), '\'', key, "' is ", value.type_name(), ", not a string");
  return value.get<std::string>();
}

const json* Fields::list(Field field) const {
  const json* value = find(field);
  if (value == nullptr || !value->is_string()) return value;
  const auto& cell = value->get_ref<const std::string&>();
  if (trim(cell).empty()) return nullptr;
  require<DataError>(json_depth(cell) <= kMaxDepth, "nested more than ", kMaxDepth, " deep");
  json& parsed = parsed_[field == Field::messages ? 0 : 1];
  parsed = json::parse(cell, nullptr, false);
  require<DataError>(parsed.is_array(), '\'', chosen(field), "' is text that is not a JSON list");
  return &parsed;
}

std::string Fields::expected_layout() const {
  std::string keys;
  for (const auto& entry : values_) {
    if (keys.size() < 200) keys += (keys.empty() ? "'" : ", '") + entry.first.substr(0, 40) + '\'';
  }
  const auto named = [this](Field field) {
    const std::string& key = override_of(columns_, field);
    return key.empty() ? list_of(names_of(field)) : key;
  };
  return join("the keys ", keys.empty() ? "(none)" : keys, " make no row. Expected a list under ",
              named(Field::messages), "; or one of ", named(Field::instruction), " with one of ",
              named(Field::output), "; or ", named(Field::text));
}

int json_depth(std::string_view text) {
  int depth = 0, deepest = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

}  // namespace rankine::text_fields
