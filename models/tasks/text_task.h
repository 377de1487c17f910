// Training a language model on text: LoRA, or all weights of a small one.
//   loss = sum over trained tokens of -ln p(token | what stands before it) / trained tokens of the step
#pragma once

#include <memory>
#include <vector>

#include "engine/train/task.h"
#include "models/decoder/decoder_lora.h"
#include "models/tasks/decoder_setup.h"
#include "models/tasks/text_answers.h"
#include "models/tasks/text_data.h"
#include "models/tasks/text_runner.h"

namespace rankine {

class TextTask final : public Task {
 public:
  // `data` may be null on a plan device. Attaches adapters (or marks weights as trained) at once.
  TextTask(const config::RunConfig& config, LoadedDecoder model, std::unique_ptr<TextData> data);

  std::vector<Param*> params() override;
  void init_params(Context& c) override;
  std::int64_t steps_per_epoch() const override { return data_->steps_per_epoch(); }
  std::string unit() const override { return "tok"; }
  StepStats train_step(Context& c, std::int64_t step, Tensor& loss) override;
  std::optional<double> validate(Context& c) override;
  std::vector<std::filesystem::path> preview(Context& c, std::int64_t step,
                                             const std::filesystem::path& folder) override;
  // See models/tasks/text_results.h; under method: full the model's folder.
  void save_result(Context& c, const std::filesystem::path& path,
                   const std::map<std::string, std::string>& facts) override;
  std::string fingerprint() const override;

  // Forward and backward of one micro-batch of so many made-up tokens, all of them trained; adds to `loss`
  // (1).
  void plan_step(Context& c, std::int64_t tokens, Tensor& loss);

  Decoder& model() { return *model_.model; }
  DecoderLora& network() { return network_; }
  // Nothing for a task that is only planned.
  bool has_data() const { return data_ != nullptr; }
  TextData& data() { return *data_; }
  // For whoever lent it; the task is over.
  std::unique_ptr<TextData> take_data() { return std::move(data_); }
  const LoadedDecoder& loaded() const { return model_; }
  const config::RunConfig& config() const { return config_; }
  const TextRunner& runner() const { return runner_; }

 private:
  LoraSpec lora_spec() const;
  bool recordable() const { return config_.adapter.lora_module_dropout == 0; }
  // Padding buys nothing where every step is driven by the host.
  TextShapes shapes_on(const Context& c) const {
    return c.device().is_cuda() && recordable() ? recurring_ : TextShapes();
  }
  bool full() const { return config_.model.method == config::Method::full; }

  config::RunConfig config_;
  LoadedDecoder model_;
  std::unique_ptr<TextData> data_;
  TextRunner runner_;
  TextShapes recurring_;
  DecoderLora network_;
  std::vector<Weight*> trained_weights_;
  std::vector<AdapterWeights> initial_adapter_;
};

}  // namespace rankine
