#include "models/tasks/text_data.h"

#include <algorithm>
#include <numeric>

#include "io/files/sha256.h"

namespace rankine {
namespace {

constexpr std::size_t kFixedValidationRows = 8;

Truncation truncation(config::Truncation t) {
  switch (t) {
    case config::Truncation::prompt:
      return Truncation::left_prompt;
    case config::Truncation::drop:
      return Truncation::drop;
    case config::Truncation::fail:
      return Truncation::error;
  }
  return Truncation::error;
}

void append(std::vector<Problem>& all, const std::vector<Problem>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

TextDataset read_usable(const config::RunConfig& config, const std::string& path) {
  TextDataset set = load_text_dataset(text_dataset_options(config, path));
  require_usable(set, config.data.on_bad_data == config::OnBadData::fail ? OnBadData::fail : OnBadData::skip);
  return set;
}

}  // namespace

ChatTemplate chat_template_for(const config::RunConfig& config, std::string_view family,
                               const Tokenizer& tokenizer) {
  ChatTemplate chosen;
  if (const auto& own = config.text.custom_template) {
    chosen.begin = own->begin;
    chosen.system = own->system;
    chosen.user = own->user;
    chosen.assistant = own->assistant;
    if (!own->stop.empty()) chosen.stop = {own->stop};
  } else {
    chosen = builtin_template(config.text.chat_template.value_or(template_for(family, tokenizer)));
  }
  if (config.text.system_prompt)
    chosen.default_system = chosen.default_system_with_input = *config.text.system_prompt;
  return chosen;
}

TextDatasetOptions text_dataset_options(const config::RunConfig& config, const std::string& path) {
  TextDatasetOptions o;
  o.path = path;
  o.columns.instruction = config.text.instruction_key.value_or("");
  o.columns.input = config.text.input_key.value_or("");
  o.columns.output = config.text.output_key.value_or("");
  return o;
}

EncodeOptions encode_options(const config::RunConfig& config) {
  EncodeOptions o;
  o.max_length = static_cast<int>(config.text.max_length);
  o.truncation = truncation(config.text.truncation);
  o.render.train_on_prompt = config.text.train_on_prompt;
  o.render.mask_history = !config.text.train_on_history;
  return o;
}

TextData::TextData(const config::RunConfig& config, std::string_view family,
                   std::shared_ptr<const Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)),
      chat_(std::make_unique<ChatRenderer>(chat_template_for(config, family, *tokenizer_), *tokenizer_)),
      rows_of_micro_batch_(config.optim.batch_size),
      max_length_(config.text.max_length),
      packing_(config.text.packing) {
  read_rows(config);
  encoded_ = encode_text(rows_, *chat_, encode_options(config));
  append(problems_, encoded_.problems);
  if (held_out()) {
    EncodedText eval = encode_text(eval_rows_, *chat_, encode_options(config));
    append(problems_, eval.problems);
    validation_ = std::move(eval.sequences);
  } else {
    const std::vector<TokenSequence>& all = encoded_.sequences;
    const std::size_t count = std::min(kFixedValidationRows, all.size());
    for (std::size_t i = 0; i < count; ++i) validation_.push_back(all[i * all.size() / count]);
  }
  TextScheduleOptions o;
  o.batch_size = static_cast<int>(config.optim.batch_size);
  o.accumulation = static_cast<int>(config.optim.gradient_accumulation);
  o.packing = packing_;
  o.max_length = max_length_;
  o.seed = static_cast<std::uint64_t>(config.optim.seed);
  schedule_ = std::make_unique<TextSchedule>(encoded_.sequences, o);
}

void TextData::read_rows(const config::RunConfig& config) {
  TextDataset train = read_usable(config, config.data.train_data_dir);
  append(problems_, train.problems);
  if (config.text.validation_data) {
    TextDataset eval = read_usable(config, *config.text.validation_data);
    append(problems_, eval.problems);
    rows_ = std::move(train.rows);
    eval_rows_ = std::move(eval.rows);
  } else if (config.data.validation_split > 0) {
    TextSplitResult split = split_eval(std::move(train.rows), config.data.validation_split,
                                       static_cast<std::uint64_t>(config.optim.seed));
    rows_ = std::move(split.train);
    eval_rows_ = std::move(split.eval);
  } else {
    rows_ = std::move(train.rows);
  }
}

TextReport TextData::report() const { return text_report({rows_, encoded_, *chat_, eval_rows_}); }

std::int64_t TextData::most_tokens() const {
  std::vector<std::int64_t> lengths;
  for (const TokenSequence& s : encoded_.sequences)
    lengths.push_back(static_cast<std::int64_t>(s.ids.size()));
  const std::int64_t total = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  if (packing_) return std::min(total, rows_of_micro_batch_ * max_length_);
  std::sort(lengths.rbegin(), lengths.rend());
  const auto count = std::min(static_cast<std::size_t>(rows_of_micro_batch_), lengths.size());
  return std::accumulate(lengths.begin(), lengths.begin() + static_cast<std::ptrdiff_t>(count),
                         std::int64_t{0});
}

std::string TextData::fingerprint() const {
  Sha256 hash;
  const auto add = [&](const void* data, std::size_t bytes) {
    hash.update({static_cast<const std::byte*>(data), bytes});
  };
  for (const auto* part : {&encoded_.sequences, &validation_}) {
    for (const TokenSequence& s : *part) {
      const std::uint64_t size = s.ids.size();
      add(&size, sizeof size);
      add(s.ids.data(), s.ids.size() * sizeof(std::int32_t));
      add(s.trained.data(), s.trained.size());
      add(&s.prefix, sizeof s.prefix);
    }
  }
  return hash.hex();
}

}  // namespace rankine
