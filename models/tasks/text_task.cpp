#include "models/tasks/text_task.h"

#include <algorithm>

#include "io/files/atomic_write.h"
#include "kernels/elementwise/elementwise.h"
#include "models/tasks/adapter_metadata.h"
#include "models/tasks/text_results.h"

namespace rankine {
namespace {

class FullTraining final : public ModelVisitor {
 public:
  explicit FullTraining(std::vector<Weight*>& out) : out_(out) {}
  void weight(Weight& w) override {
    w.train({1.0, w.kind() == WeightKind::matrix});
    out_.push_back(&w);
  }

 private:
  std::vector<Weight*>& out_;
};

}  // namespace

LoraSpec TextTask::lora_spec() const {
  const config::AdapterSection& a = config_.adapter;
  LoraSpec spec;
  spec.rank = static_cast<int>(a.lora_rank);
  spec.alpha = static_cast<float>(a.alpha());
  spec.rank_stabilised = a.use_rslora;
  spec.dropout.input = static_cast<float>(a.lora_dropout);
  spec.dropout.module = static_cast<float>(a.lora_module_dropout);
  spec.up_group.lr_scale = a.lora_plus_ratio;
  spec.dora = a.use_dora;
  spec.init = a.lora_init == config::LoraInit::pissa ? LoraInit::pissa : LoraInit::kaiming;
  return spec;
}

TextTask::TextTask(const config::RunConfig& config, LoadedDecoder model, std::unique_ptr<TextData> data)
    : config_(config),
      model_(std::move(model)),
      data_(std::move(data)),
      runner_(*model_.model, model_.tokenizer->specials().pad.value_or(0), &step_memory()) {
  if (data_) recurring_ = TextShapes::recurring(data_->most_tokens());
  if (model_.stream) step_memory().weights = model_.stream->pages();
  if (full()) {
    FullTraining all(trained_weights_);
    model_.model->visit(all);
    return;
  }
  const LoraSpec spec = lora_spec();
  if (config.adapter.init_lora) {
    initial_adapter_ = read_text_adapter(*config.adapter.init_lora, model_.checkpoint);
    network_.attach(*model_.model, chooser_from(initial_adapter_, spec));
    return;
  }
  const LoraTargets targets{config.adapter.target_modules};
  network_.attach(*model_.model, [&](const std::string& path) -> std::optional<LoraSpec> {
    return targets.matches(model_.model->config(), model_.model->names(), path) ? std::optional(spec)
                                                                                : std::nullopt;
  });
}

std::vector<Param*> TextTask::params() {
  if (!full()) return network_.params();
  std::vector<Param*> all;
  for (Weight* w : trained_weights_) all.push_back(&w->param());
  return all;
}

void TextTask::init_params(Context& c) {
  if (!full()) {
    network_.init(c, c.seed);
    if (!initial_adapter_.empty() && !c.planning()) network_.from_file(initial_adapter_);
    return;
  }
  for (Weight* w : trained_weights_) {
    Tensor value = w->param().value;
    if (is_block(w->initial().dtype()))
      throw ConfigError("method: full needs a base in f32, f16 or bf16; " + w->path() + " is quantised");
    copy(c, value, w->initial());
    w->drop_initial();
  }
}

StepStats TextTask::train_step(Context& c, std::int64_t step, Tensor& loss) {
  const TextStep plan = data_->step(step);
  StepStats stats;
  stats.samples = plan.trained_tokens;
  Context local = c;
  local.training = true;
  std::uint32_t first = 0;
  const float scale = 1.0F / static_cast<float>(plan.trained_tokens);
  const TextShapes shapes = shapes_on(c);
  for (const TextRows& rows : plan.micro_batches) {
    local.first_sample = first++;
    runner_.train(local, runner_.prepare(local, rows, data_->sequences(), scale, shapes), loss, recordable());
  }
  stats.epoch = static_cast<double>(step + 1) / static_cast<double>(steps_per_epoch());
  return stats;
}

std::optional<double> TextTask::validate(Context& c) {
  if (data_->validation().empty()) return std::nullopt;
  return runner_.score(c, data_->validation(), stop()).loss;
}

void TextTask::plan_step(Context& c, std::int64_t tokens, Tensor& loss) {
  Context local = c;
  local.training = true;
  runner_.train(local, runner_.made_up(local, tokens), loss, recordable());
}

std::vector<std::filesystem::path> TextTask::preview(Context& c, std::int64_t step,
                                                     const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  const std::vector<config::SamplePrompt>& prompts = config_.output.sample_prompts;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    stop().throw_if_set();
    Conversation row;
    row.messages.push_back({Role::user, prompts[i].prompt, "", false});
    AnswerOptions options = answer_options(config_);
    options.stop = stop();
    AnswerPair pair{prompts[i].prompt, answer(c, *model_.model, data_->chat(), row, options)};
    if (!full()) {
      network_.set_strength(0);
      pair.base = answer(c, *model_.model, data_->chat(), row, options);
      network_.set_strength(1);
    }
    std::string number = std::to_string(step);
    number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
    const std::filesystem::path file = folder / join("step-", number, "-", i + 1, ".json");
    if (!c.planning()) write_file_atomically(file, to_json(pair));
    files.push_back(file);
  }
  return files;
}

void TextTask::save_result(Context& c, const std::filesystem::path& path,
                           const std::map<std::string, std::string>& facts) {
  if (full()) {
    save_decoder_folder(path, model_, config_.output.save_dtype, facts);
    return;
  }
  save_text_adapter(path, *this, facts);
}

std::string TextTask::fingerprint() const {
  return join("model ", model_.fingerprint, "\nvocabulary ", model_.tokenizer->fingerprint(), "\ndata ",
              data_->fingerprint(), "\nsettings ", settings_fingerprint(config_), "\n");
}

}  // namespace rankine
