// A language model ready to answer, with or without its adapter: what generate and eval share.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "apps/rankine/session.h"
#include "models/decoder/decoder_lora.h"
#include "models/tasks/decoder_setup.h"
#include "models/tasks/text_answers.h"

namespace rankine::app {

class TextSession {
 public:
  // Loads the run's model and its adapter: `lora` is a PEFT folder or GGUF adapter, "none", or not set: the
  // run's own result, if there is one. Throws ConfigError for a run that is not of text.
  TextSession(const RunConfig& config, const std::optional<std::string>& lora);

  bool has_adapter() const { return adapter_.has_value(); }
  const std::string& adapter_path() const { return adapter_path_; }
  void set_strength(float strength);  // of the adapter

  std::string answer(const Conversation& row, const AnswerOptions& options,
                     const std::function<bool(std::string_view)>& on_text = {});
  Context context() { return Context(*runtime_); }
  Decoder& model() { return *model_.model; }
  const ChatRenderer& chat() const { return *chat_; }
  const Tokenizer& tokenizer() const { return *model_.tokenizer; }
  const LoadedDecoder& loaded() const { return model_; }

 private:
  std::unique_ptr<Runtime> runtime_;
  LoadedDecoder model_;
  std::unique_ptr<ChatRenderer> chat_;
  std::optional<DecoderLora> adapter_;
  std::string adapter_path_;
};

// One question as a conversation.
Conversation question(const std::string& text, const std::string& system);

}  // namespace rankine::app
