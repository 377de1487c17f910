// For the peer tests of language models: what a model of a run says with an adapter.
//   decoder_dump answers RUN.yaml MODEL ADAPTER|none PROMPTS.txt OUT
//     OUT.json: for each line of PROMPTS.txt the ids of the rendered prompt, of the greedy answer, its text,
//     and the ids that end an answer; OUT.safetensors: "logits.N" (T, V) of prompt N with its answer
//   decoder_dump ids MODEL TEXTS.json
//     prints the ids of each text of the list in the model's own vocabulary
#include <cstdio>
#include <exception>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "io/formats/safetensors.h"
#include "models/decoder/decoder_lora.h"
#include "models/tasks/decoder_setup.h"
#include "models/tasks/text_answers.h"
#include "models/tasks/text_data.h"
#include "models/tasks/text_results.h"

namespace rankine {
namespace {

nlohmann::json parsed(const std::string& path) {
  std::ifstream in(path);
  require<IoError>(in.good(), path, ": cannot be read");
  return nlohmann::json::parse(in);
}

class Session {
 public:
  Session(const RunConfig& config, const std::string& adapter) : runtime_(Device::cpu()), c_(runtime_) {
    model_ = load_decoder(c_, config);
    chat_ = std::make_unique<ChatRenderer>(
        chat_template_for(config, name_of(model_.checkpoint.config.family), *model_.tokenizer),
        *model_.tokenizer);
    if (adapter == "none") return;
    const auto weights = read_text_adapter(adapter, model_.checkpoint);
    network_.attach(*model_.model, chooser_from(weights, LoraSpec{}));
    network_.allocate(c_);
    network_.init(c_, 0);
    network_.from_file(weights);
  }

  nlohmann::json answer(const std::string& question, const AnswerOptions& options) {
    Conversation row;
    row.messages.push_back({Role::user, question, "", false});
    GenerateRequest r;
    r.prompt = chat_->render_prompt(row, options.render).ids;
    r.stops = chat_->stops();
    r.max_new_tokens = options.max_new_tokens;
    const Generated made = generate(c_, *model_.model, r);
    std::vector<std::int32_t> all = r.prompt;
    all.insert(all.end(), made.ids.begin(), made.ids.end());
    const Tensor logits = sequence_logits(c_, *model_.model, all);
    const auto dims = logits.shape().dims();
    logits_.push_back(tensor_to_write(join("logits.", logits_.size()), {dims.begin(), dims.end()},
                                      logits.span<float>(), FileDType::f32));
    return {{"prompt", r.prompt},
            {"answer", made.ids},
            {"text", model_.tokenizer->decode(made.ids)},
            {"stops", r.stops}};
  }

  std::vector<TensorToWrite> logits() { return std::move(logits_); }

 private:
  Runtime runtime_;
  Context c_;
  LoadedDecoder model_;
  std::unique_ptr<ChatRenderer> chat_;
  DecoderLora network_;
  std::vector<TensorToWrite> logits_;
};

void dump_answers(char** a) {
  RunConfig config = load_run_config(a[0]);
  config.model.base_model = a[1];
  Session session(config, a[2]);
  std::ifstream prompts(a[3]);
  require<IoError>(prompts.good(), a[3], ": cannot be read");
  nlohmann::json out = nlohmann::json::array();
  for (std::string line; std::getline(prompts, line);)
    out.push_back(session.answer(line, answer_options(config)));
  std::ofstream(std::string(a[4]) + ".json")
      << out.dump(1, ' ', true, nlohmann::json::error_handler_t::replace);
  std::vector<TensorToWrite> logits = session.logits();
  sort_for_writing(logits);
  write_safetensors(std::string(a[4]) + ".safetensors", std::move(logits), {});
}

void dump_ids(const char* model, const char* texts) {
  const auto tokenizer = load_tokenizer(open_decoder_checkpoint(model), std::nullopt);
  nlohmann::json out = nlohmann::json::array();
  for (const auto& text : parsed(texts)) out.push_back(tokenizer->encode(text.get<std::string>()));
  std::cout << out.dump() << "\n";
}

}  // namespace
}  // namespace rankine

int main(int argc, char** argv) {
  try {
    const std::string mode = argc > 1 ? argv[1] : "";
    if (mode == "answers" && argc == 7) {
      rankine::dump_answers(argv + 2);
    } else if (mode == "ids" && argc == 4) {
      rankine::dump_ids(argv[2], argv[3]);
    } else {
      throw std::runtime_error("usage: see the head of tests/peers/decoder_dump.cpp");
    }
  } catch (const std::exception& e) {
    std::fprintf(stderr, "decoder_dump: %s\n", e.what());
    return 1;
  }
  return 0;
}
