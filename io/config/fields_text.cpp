#include "io/config/codec.h"

namespace rankine::config {
namespace {

using S = TextSection;
constexpr auto kIn = &RunConfig::text;

Table<RunConfig> prompt_fields() {
  return {
      field<RunConfig>(
          {.key = "chat_template",
           .doc = "How a conversation is written: alpaca, chatglm, chatglm2, chatglm3, chatml, glm4, "
                  "llama2, llama3, mistral, plain, qwen, qwen3, vicuna.",
           .not_set = "the one of the model's family",
           .known_as = "template prompt_template conv_template",
           .form = TextForm::some},
          kIn, &S::chat_template),
      field<RunConfig>(
          {.key = "custom_template",
           .doc = "A template of your own, with the places {system}, {user}, {assistant}. Control tokens are "
                  "written as the vocabulary shows them.",
           .not_set = "chat_template"},
          kIn, &S::custom_template),
      field<RunConfig>({.key = "system_prompt",
                        .doc = "System text of rows that bring none.",
                        .not_set = "the template's own, if it has one",
                        .known_as = "default_system"},
                       kIn, &S::system_prompt),
      field<RunConfig>({.key = "instruction_key",
                        .doc = "Column of the instruction.",
                        .not_set = "found by its usual names",
                        .form = TextForm::some},
                       kIn, &S::instruction_key),
      field<RunConfig>({.key = "input_key",
                        .doc = "Column of the input.",
                        .not_set = "found by its usual names",
                        .form = TextForm::some},
                       kIn, &S::input_key),
      field<RunConfig>({.key = "output_key",
                        .doc = "Column of the answer.",
                        .not_set = "found by its usual names",
                        .form = TextForm::some},
                       kIn, &S::output_key),
      field<RunConfig>({.key = "validation_data",
                        .doc = "File or folder of held-out rows.",
                        .not_set = "validation_split of the training data, if it is above 0",
                        .known_as = "eval_dataset eval_data val_data",
                        .form = TextForm::path},
                       kIn, &S::validation_data),
  };
}

Table<RunConfig> sequence_fields() {
  return {
      field<RunConfig>({.key = "max_length",
                        .doc = "Longest sequence.",
                        .unit = "tokens",
                        .known_as = "cutoff_len max_seq_length max_seq_len model_max_length sequence_len",
                        .min = 8,
                        .max = 1048576},
                       kIn, &S::max_length),
      field<RunConfig>(
          {.key = "truncation",
           .doc = "What happens to a longer row: prompt cuts the prompt and keeps the answer; drop leaves "
                  "the row out; fail stops. What was cut is always counted and shown."},
          kIn, &S::truncation),
      field<RunConfig>(
          {.key = "packing",
           .doc = "Fill each sequence of max_length with several rows. No row sees another one; batch_size "
                  "then counts sequences.",
           .known_as = "sample_packing neat_packing"},
          kIn, &S::packing),
      field<RunConfig>({.key = "train_on_prompt",
                        .doc = "Learn the prompts too, not the answers alone.",
                        .known_as = "train_on_input train_on_inputs train_on_source"},
                       kIn, &S::train_on_prompt),
      field<RunConfig>({.key = "train_on_history",
                        .doc = "Learn every answer of a conversation, not the last one alone.",
                        .known_as = "mask_history"},
                       kIn, &S::train_on_history),
  };
}

Table<RunConfig> generation_fields() {
  return {
      field<RunConfig>({.key = "max_new_tokens",
                        .doc = "Longest answer of previews, generate and eval.",
                        .unit = "tokens",
                        .known_as = "max_tokens n_predict",
                        .min = 1,
                        .max = 1048576},
                       kIn, &S::max_new_tokens),
      field<RunConfig>({.key = "temperature",
                        .doc = "Divides the logits before drawing; 0 takes the likeliest token.",
                        .min = 0,
                        .max = 10},
                       kIn, &S::temperature),
      field<RunConfig>({.key = "top_p",
                        .doc = "Draw from the likeliest tokens that hold this probability together.",
                        .min = 0,
                        .max = 1,
                        .above_min = true},
                       kIn, &S::top_p),
      field<RunConfig>(
          {.key = "top_k", .doc = "Draw from so many of the likeliest tokens; 0: all.", .min = 0, .max = 1e6},
          kIn, &S::top_k),
  };
}

}  // namespace

Table<RunConfig> text_fields() {
  Table<RunConfig> table = prompt_fields();
  for (auto& part : {sequence_fields(), generation_fields()})
    table.insert(table.end(), part.begin(), part.end());
  for (Field<RunConfig>& field : table) field.info.of = KeyOf::text_task;
  return table;
}

template <>
const Table<CustomTemplate>& table_of() {
  using T = CustomTemplate;
  static const Table<T> table = {
      field<T>({.key = "begin", .doc = "Text at the start of a conversation."}, &T::begin),
      field<T>({.key = "system", .doc = "Around a system text: {system}."}, &T::system),
      field<T>({.key = "user", .doc = "Around a question: {user}."}, &T::user),
      field<T>({.key = "assistant", .doc = "Around an answer: {assistant}."}, &T::assistant),
      field<T>({.key = "stop", .doc = "Token that ends an answer. Empty: the vocabulary's end of text."},
               &T::stop),
  };
  return table;
}

}  // namespace rankine::config
