// The values of a row by what they mean; implementation side of io/dataset/text_rows.h.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "io/dataset/text_rows.h"

namespace rankine::text_fields {

enum class Field {
  messages,
  instruction,
  input,
  output,
  history,
  system,
  text,
  instances,
  role,
  content,
  trained
};
enum class Layout { none, chat, instruction, seed_task, completion };

// "System Prompt" and "system-prompt" are "system_prompt".
std::string key_name(std::string_view key);

class Fields {
 public:
  // Both must outlive the object.
  Fields(const nlohmann::json& row, const TextColumns& columns);

  Layout layout() const;
  // The value, or null when there is none or it is JSON's null.
  const nlohmann::json* find(Field field) const;
  // A string, empty when there is none; throws DataError for any other type.
  std::string text(Field field) const;
  // The list; one that stands as text in a CSV cell has been parsed. Null when absent or an empty string.
  const nlohmann::json* list(Field field) const;
  // What to say when no layout fits.
  std::string expected_layout() const;

 private:
  const nlohmann::json* value_of(std::string_view key) const;
  std::string_view chosen(Field field) const;

  std::vector<std::pair<std::string, const nlohmann::json*>> values_;
  const TextColumns& columns_;
  mutable nlohmann::json parsed_[2];  // messages, history
};

// Nesting that a row may have; a row that means something has 4.
inline constexpr int kMaxDepth = 32;
// Depth of brackets outside of strings.
int json_depth(std::string_view text);

}  // namespace rankine::text_fields
