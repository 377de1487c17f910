#include "apps/rankine/text_session.h"

#include "apps/rankine/device_choice.h"
#include "models/tasks/text_data.h"
#include "models/tasks/text_results.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

std::string adapter_of_run(const RunConfig& config, const std::optional<std::string>& lora) {
  if (lora) return *lora == "none" ? "" : *lora;
  if (config.model.method != config::Method::lora) return "";
  const fs::path result = fs::path(config.output.output_dir) / result_name(config);
  return fs::exists(result) ? result.string() : "";
}

}  // namespace

TextSession::TextSession(const RunConfig& config, const std::optional<std::string>& lora)
    : runtime_(make_runtime(config.machine, memory_budget(config.machine))) {
  require<ConfigError>(config.model.task_type == config::TaskType::text_generation,
                       "task_type: this command is for text-generation");
  const Context c(*runtime_);
  model_ = load_decoder(c, config);
  const std::string_view family = name_of(model_.checkpoint.config.family);
  chat_ =
      std::make_unique<ChatRenderer>(chat_template_for(config, family, *model_.tokenizer), *model_.tokenizer);
  adapter_path_ = adapter_of_run(config, lora);
  if (adapter_path_.empty()) return;
  const std::vector<AdapterWeights> weights = read_text_adapter(adapter_path_, model_.checkpoint);
  adapter_.emplace();
  adapter_->attach(*model_.model, chooser_from(weights, LoraSpec{}));
  adapter_->allocate(c);
  adapter_->init(c, 0);  // DoRA's norms of the frozen weights
  adapter_->from_file(weights);
}

void TextSession::set_strength(float strength) {
  if (adapter_) adapter_->set_strength(strength);
}

std::string TextSession::answer(const Conversation& row, const AnswerOptions& options,
                                const std::function<bool(std::string_view)>& on_text) {
  return rankine::answer(context(), *model_.model, *chat_, row, options, on_text);
}

Conversation question(const std::string& text, const std::string& system) {
  Conversation row;
  row.system = system;
  row.messages.push_back({Role::user, text, "", false});
  return row;
}

}  // namespace rankine::app
