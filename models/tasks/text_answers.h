// Answers of a model to questions, as chat templates put them.
#pragma once

#include <functional>
#include <string>

#include "io/config/run_config.h"
#include "io/dataset/chat_renderer.h"
#include "models/decoder/generate.h"

namespace rankine {

struct AnswerOptions {
  std::int64_t max_new_tokens = 128;
  SamplingOptions sampling;
  RenderOptions render;
  StopFlag stop;
};
AnswerOptions answer_options(const config::RunConfig& config);

// What the model writes behind the conversation's last question (a last answer, if there is one, is left
// out). `on_text` gets the pieces as they come, each whole characters; returning false ends the answer.
std::string answer(const Context& c, Decoder& model, const ChatRenderer& chat, const Conversation& row,
                   const AnswerOptions& options, const std::function<bool(std::string_view)>& on_text = {});

// One question with the adapter's answer and the base model's; empty: there is no adapter to leave out.
struct AnswerPair {
  std::string question, adapted, base;
};
std::string to_json(const AnswerPair& pair);  // question, adapter, base

// Equal but for blanks at the ends and between words: what an exact match means.
bool same_answer(std::string_view a, std::string_view b);

}  // namespace rankine
