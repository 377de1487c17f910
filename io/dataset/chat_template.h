// How a model wants a conversation written down.
//
// A template is data: texts with places in braces. Control tokens are written as the vocabulary shows them
// ("<|im_end|>", "[INST]", "<s>"): what stands in <...> or [...] becomes the token if the vocabulary has it
// and stays text if not, except that <|...|> must be there. Places:
//   {system} {user} {input} {assistant}
//                the row's own text, in which nothing is taken for a control token
//   {round}      number of the exchange
//   {thought}    what stood between <think> and </think>
//   {bos} {eos}  these tokens
//   {bos?}       BOS if sequences of this vocabulary begin with one
//   {eos?}       EOS if there is one
//   {token:A B}  the first of these tokens that the vocabulary has, for names without brackets
//   {begin}      what follows is encoded by itself, as the opening of a text (SentencePiece's dummy prefix)
//   {generate}   the model's part begins: its prompt ends, the loss starts. Default: at {assistant}
//   {prefix}     what stands before is visible from everywhere (prefix-LM, ChatGLM-6B)
//   {{ }}        braces
// Text and places between two of these borders are encoded in one piece. Spaces at the end of a prompt are
// encoded with the answer, as vocabularies join a space to the word that follows it. The first text of a
// sequence, and text right behind BOS, opens a text.
//
// Formats: the models' own documentation; see builtin_templates.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/text/tokenizer.h"

namespace rankine {

struct ChatTemplate {
  std::string name = "custom";
  std::string begin;                      // once, before everything
  std::string system;                     // where there is a system text: the row's, else the default
  std::string default_system;             // of rows without one
  std::string default_system_with_input;  // likewise, when the first question has an input; empty: the other
  std::string system_in_user;  // the first question together with the system text, in place of both
  std::string user = "{user}";
  std::string user_with_input;  // empty: the input stands on a new line below the question
  // Models that read earlier exchanges as text of the prompt: what each becomes, and the question behind them
  // (empty: as user). Only the last answer can then be trained.
  std::string history, user_after_history;
  int first_round = 1;
  std::string assistant = "{assistant}";
  // The end of the last answer, where answers in between end with the token that opens the next question.
  std::string end;
  // Answers that may begin with thoughts: how they are written, and what a prompt has in their place when
  // there are none. Thoughts of earlier answers are dropped, so only the last answer can be trained.
  std::string thought, no_thought;
  std::string completion = "{bos?}{assistant}{eos?}";  // text that stands alone
  std::vector<std::string> stop;  // tokens that end an answer, the first of them mandatory; "{eos}" is known
  bool trim = false;              // questions, answers and system text without blanks around them
};

// An answer ends with the control token behind {assistant}; where there is none and no `end`, the first stop
// token is put there, or EOS when no stop is named.

// Names: alpaca llama2 llama3 mistral qwen (2.5) qwen2 qwen3 chatglm (6B) chatglm2 chatglm3 glm4 vicuna
// chatml plain. Throws ConfigError that lists them for any other.
const ChatTemplate& builtin_template(std::string_view name);
std::vector<std::string> builtin_template_names();

// The name of the template that a model family ("llama", "mistral", "qwen2", "qwen3", "chatglm", "glm",
// "glm4",
// ... : model_type of a checkpoint or architecture of a GGUF file) with this vocabulary was trained with;
// alpaca where nothing tells.
std::string template_for(std::string_view family, const Tokenizer& tokenizer);

}  // namespace rankine
