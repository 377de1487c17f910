// One row of instruction data: what the layouts that people write have in common.
//
// Layouts are told apart row by row, by their keys (case, blanks and hyphens in a key do not matter):
//   chat         messages | conversations | conversation | dialog: a list of {"role", "content"} or {"from",
//                "value"}; roles system; user, human; assistant, gpt, bot, chatgpt, model. "weight": 0 or
//                "train": false keeps an answer out of the loss. Content may be a list of {"type": "text"}.
//   instruction  one of instruction prompt question query 指令 问题 提问 提示词 context 上下文
//                with one of output response answer completion target reply 输出 回答 答案 回复,
//                perhaps input 输入 context 上下文, system system_prompt 系统 系统提示, and history
//                历史: a list of [question, answer] pairs, oldest first.
//   seed tasks   instruction with instances: a list of {"input", "output"}, each of which becomes a row.
//   completion   text 文本 content
// The first that fits counts; other keys are ignored. null is as good as absent.
//
// Roles of tools (tool, function, observation, ...) are refused: what a call looks like differs by model, and
// a guess would train the wrong form.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace rankine {

enum class Role : std::uint8_t {
  user,
  assistant,
  text  // a completion: stands alone and is used without a template
};

struct Message {
  Role role = Role::user;
  std::string text;
  std::string input;     // of a question: what the instruction is to be applied to; may be empty
  bool trained = false;  // of an answer: may count in the loss
};

// Questions and answers take turns, a question first; or one message of role text.
struct Conversation {
  std::string system;
  std::vector<Message> messages;
  std::string where;  // "file:line" for people
};

// Keys that are to be used instead of those above; empty: by the lists.
struct TextColumns {
  std::string messages, instruction, input, output, history, system, text;
};

// Rows of one JSON object. Throws DataError (without file and line) that says what is wrong: no layout fits,
// a value of the wrong type, an empty question or answer, roles out of turn, a NUL character. `warnings` gets
// what was left out, such as a last question without an answer. Text is kept as it is, blanks included.
std::vector<Conversation> read_text_row(const nlohmann::json& row, const TextColumns& columns,
                                        std::vector<std::string>& warnings);

// Whether one of the layouts fits an object with these keys.
bool has_text_layout(const std::vector<std::string>& keys, const TextColumns& columns);

}  // namespace rankine
