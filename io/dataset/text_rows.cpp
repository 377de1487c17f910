#include "io/dataset/text_rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/core/error.h"
#include "io/dataset/text_fields.h"
#include "io/dataset/text_file.h"

namespace rankine {

namespace {

using nlohmann::json;
using text_fields::Field;
using text_fields::Fields;

bool is_blank(const std::string& text) { return trim(text).empty(); }

void add_question(Conversation& row, std::string text, std::string input) {
  require<DataError>(!is_blank(text) || !is_blank(input), "the question is empty");
  row.messages.push_back({Role::user, std::move(text), std::move(input), false});
}

void add_answer(Conversation& row, std::string text, bool trained) {
  require<DataError>(!is_blank(text), "the answer is empty");
  row.messages.push_back({Role::assistant, std::move(text), {}, trained});
}

void add_history(Conversation& row, const json& list) {
  constexpr const char* kExpected = "history is not a list of [question, answer] pairs of strings";
  require<DataError>(list.is_array(), kExpected);
  for (const json& pair : list) {
    require<DataError>(pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string(),
                       kExpected);
    add_question(row, pair[0].get<std::string>(), {});
    add_answer(row, pair[1].get<std::string>(), true);
  }
}

Conversation instruction_row(const Fields& fields) {
  Conversation row;
  row.system = fields.text(Field::system);
  if (const json* history = fields.list(Field::history)) add_history(row, *history);
  add_question(row, fields.text(Field::instruction), fields.text(Field::input));
  add_answer(row, fields.text(Field::output), true);
  return row;
}

std::vector<Conversation> seed_rows(const Fields& fields, const TextColumns& columns) {
  std::vector<Conversation> rows;
  const json& instances = *fields.list(Field::instances);
  for (const json& instance : instances) {
    require<DataError>(instance.is_object(), "instances is not a list of objects");
    const Fields inner(instance, columns);
    Conversation row;
    add_question(row, fields.text(Field::instruction), inner.text(Field::input));
    add_answer(row, inner.text(Field::output), true);
    rows.push_back(std::move(row));
  }
  require<DataError>(!rows.empty(), "instances is empty");
  return rows;
}

enum class Speaker { system, user, assistant };

Speaker speaker_of(const std::string& role) {
  constexpr std::string_view kUser[] = {"user", "human", "prompter", "用户"};
  constexpr std::string_view kAssistant[] = {"assistant", "gpt", "bot", "chatgpt", "model", "助手"};
  constexpr std::string_view kTool[] = {"tool", "function", "function_call", "observation", "ipython"};
  const std::string name = text_fields::key_name(role);
  const auto is_in = [&name](std::span<const std::string_view> names) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (name == "system" || name == "developer") return Speaker::system;
  if (is_in(kUser)) return Speaker::user;
  if (is_in(kAssistant)) return Speaker::assistant;
  throw DataError(join("the role '", role.substr(0, 40),
                       is_in(kTool) ? "' belongs to tool calls, which are not trained; remove such rows or "
                                      "write the call as an answer in plain text"
                                    : "' is unknown; expected system, user (human) or assistant (gpt)"));
}

// A string, or the text parts of a list as the chat services write it.
std::string content_of(const json& content, const std::string& role) {
  if (content.is_string()) return content.get<std::string>();
  require<DataError>(content.is_array(), "the content of '", role.substr(0, 40), "' is not a string");
  std::string text;
  for (const json& part : content) {
    const bool is_text = part.is_object() && part.value("type", json()) == "text" && part.contains("text") &&
                         part["text"].is_string();
    require<DataError>(is_text, "the content of '", role.substr(0, 40), "' has a part that is not text");
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

// "weight": 0 and "train": false as the fine-tuning services have them.
bool is_trained(const Fields& message) {
  const json* mark = message.find(Field::trained);
  if (mark == nullptr) return true;
  if (mark->is_boolean()) return mark->get<bool>();
  require<DataError>(*mark == 0 || *mark == 1, "the weight of a message is neither 0 nor 1");
  return *mark == 1;
}

void add_message(Conversation& row, const json& value) {
  require<DataError>(value.is_object(), "a message is not an object with a role and a content");
  static const TextColumns kNoOverrides;
  const Fields message(value, kNoOverrides);
  const json *role = message.find(Field::role), *content = message.find(Field::content);
  require<DataError>(role != nullptr && role->is_string(), "a message has no role (or from)");
  const std::string& name = role->get_ref<const std::string&>();
  const Speaker speaker = speaker_of(name);
  require<DataError>(content != nullptr, "the message of '", name.substr(0, 40),
                     "' has no content (or value)");
  std::string text = content_of(*content, name);
  if (speaker == Speaker::system) {
    require<DataError>(row.messages.empty() && row.system.empty(),
                       "a system message stands behind the first message");
    row.system = std::move(text);
    return;
  }
  const bool question_due = row.messages.size() % 2 == 0;
  require<DataError>(question_due == (speaker == Speaker::user), "message ", row.messages.size() + 1,
                     " is of '", name.substr(0, 40), "', but ", question_due ? "a question" : "an answer",
                     " is due: questions and answers take turns");
  if (question_due) return add_question(row, std::move(text), {});
  add_answer(row, std::move(text), is_trained(message));
}

Conversation chat_row(const Fields& fields, std::vector<std::string>& warnings) {
  Conversation row;
  row.system = fields.text(Field::system);
  const json* messages = fields.list(Field::messages);
  require<DataError>(messages != nullptr && messages->is_array(), "the messages are not a list");
  for (const json& message : *messages) add_message(row, message);
  require<DataError>(!row.messages.empty(), "there are no messages");
  if (row.messages.back().role == Role::user) {
    row.messages.pop_back();
    require<DataError>(!row.messages.empty(), "the question has no answer");
    warnings.emplace_back("the last question has no answer and is left out");
  }
  return row;
}

Conversation completion_row(const Fields& fields) {
  Conversation row;
  row.messages.push_back({Role::text, fields.text(Field::text), {}, true});
  require<DataError>(!is_blank(row.messages[0].text), "the text is empty");
  return row;
}

void refuse_nul(const Conversation& row) {
  const auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  bool found = has_nul(row.system);
  for (const Message& message : row.messages) found |= has_nul(message.text) || has_nul(message.input);
  require<DataError>(!found, "holds a NUL character");
}

std::vector<Conversation> rows_of(const Fields& fields, const TextColumns& columns,
                                  std::vector<std::string>& warnings) {
  switch (fields.layout()) {
    case text_fields::Layout::chat:
      return {chat_row(fields, warnings)};
    case text_fields::Layout::instruction:
      return {instruction_row(fields)};
    case text_fields::Layout::seed_task:
      return seed_rows(fields, columns);
    case text_fields::Layout::completion:
      return {completion_row(fields)};
    case text_fields::Layout::none:
      break;
  }
  throw DataError(fields.expected_layout());
}

}  // namespace

std::vector<Conversation> read_text_row(const json& row, const TextColumns& columns,
                                        std::vector<std::string>& warnings) {
  require<DataError>(row.is_object(), "is not a JSON object such as {\"instruction\": ..., \"output\": ...}");
  const Fields fields(row, columns);
  std::vector<Conversation> rows = rows_of(fields, columns, warnings);
  for (const Conversation& one : rows) refuse_nul(one);
  return rows;
}

bool has_text_layout(const std::vector<std::string>& keys, const TextColumns& columns) {
  json row = json::object();
  for (const std::string& key : keys) row[key] = "[";  // what a cell with messages begins with
  return Fields(row, columns).layout() != text_fields::Layout::none;
}

}  // namespace rankine
