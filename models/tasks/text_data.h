// The text side of a run: rows read, written down by the template, cut to length and scheduled.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/config/run_config.h"
#include "io/dataset/chat_renderer.h"
#include "io/dataset/text_batch.h"
#include "io/dataset/text_dataset.h"
#include "io/dataset/text_encode.h"
#include "io/dataset/text_report.h"
#include "io/dataset/text_schedule.h"

namespace rankine {

// The template of a run: its own, the one it names, or that of the model's family.
ChatTemplate chat_template_for(const config::RunConfig& config, std::string_view family,
                               const Tokenizer& tokenizer);

TextDatasetOptions text_dataset_options(const config::RunConfig& config, const std::string& path);
EncodeOptions encode_options(const config::RunConfig& config);

class TextData {
 public:
  // Throws DataError when nothing can be trained on, or for bad rows under on_bad_data: fail.
  TextData(const config::RunConfig& config, std::string_view family,
           std::shared_ptr<const Tokenizer> tokenizer);

  const std::vector<Conversation>& rows() const { return rows_; }
  const std::vector<Conversation>& eval_rows() const { return eval_rows_; }
  const EncodedText& encoded() const { return encoded_; }
  const std::vector<TokenSequence>& sequences() const { return encoded_.sequences; }
  // Held-out sequences, or a few training ones when none are held out.
  const std::vector<TokenSequence>& validation() const { return validation_; }
  bool held_out() const { return !eval_rows_.empty(); }
  const std::vector<Problem>& problems() const { return problems_; }  // of reading and of encoding
  TextReport report() const;

  const ChatRenderer& chat() const { return *chat_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }

  std::int64_t steps_per_epoch() const { return schedule_->steps_per_epoch(); }
  TextStep step(std::int64_t step) { return schedule_->step(step); }
  std::int64_t epoch_of(std::int64_t step) const { return step / steps_per_epoch(); }
  // Tokens of the longest micro-batch that can occur.
  std::int64_t most_tokens() const;

  // What tokens the run is trained on: rows, template and vocabulary decide.
  std::string fingerprint() const;

 private:
  void read_rows(const config::RunConfig& config);

  std::shared_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<ChatRenderer> chat_;
  std::vector<Conversation> rows_, eval_rows_;
  EncodedText encoded_;
  std::vector<TokenSequence> validation_;
  std::vector<Problem> problems_;
  std::unique_ptr<TextSchedule> schedule_;
  std::int64_t rows_of_micro_batch_ = 1, max_length_ = 0;
  bool packing_ = false;
};

}  // namespace rankine
