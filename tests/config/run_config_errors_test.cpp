// Everything that is wrong with a run file is found at once, at its place, with what is allowed.
#include <gtest/gtest.h>

#include "io/config/run_config.h"
#include "io/config/suggest.h"

namespace rankine::config {
namespace {

constexpr std::string_view kLeast = "base_model: m\ntrain_data_dir: d\noutput_dir: o\n";

std::vector<ConfigProblem> problems_of(const std::string& yaml, const std::vector<std::string>& sets = {}) {
  try {
    parse_run_config(yaml, "run.yaml", sets);
  } catch (const InvalidRunConfig& e) {
    return e.problems();
  }
  return {};
}

// The one problem of the least file with `line` added at line 4.
std::string problem_of(const std::string& line, const std::vector<std::string>& sets = {}) {
  const auto problems = problems_of(std::string(kLeast) + line, sets);
  if (problems.size() != 1) return join(problems.size(), " problems");
  return problems[0].where + ": " + problems[0].key + ": " + problems[0].message;
}

TEST(RunConfigErrorsTest, ShowsPlaceKeyReasonAndCaret) {
  try {
    parse_run_config(std::string(kLeast) + "lerning_rate: 1e-4\n", "run.yaml");
    FAIL();
  } catch (const ConfigError& e) {
    EXPECT_STREQ(e.what(),
                 "run.yaml:4:1: lerning_rate: unknown key, did you mean learning_rate?\n"
                 "  4 | lerning_rate: 1e-4\n"
                 "    | ^");
  }
}

TEST(RunConfigErrorsTest, FindsEverythingAtOnce) {
  const auto problems = problems_of(R"(base_model: m
lora_rank: eight
batch_size: 0
flip: yes
epochs: 3
max_steps: 10
task_type: text-to-picture
network_dim: 4
)");
  std::vector<std::string> keys;
  for (const ConfigProblem& p : problems) keys.push_back(join(p.line, " ", p.key));
  EXPECT_EQ(keys, (std::vector<std::string>{"0 train_data_dir", "0 output_dir", "2 lora_rank", "3 batch_size",
                                            "4 flip", "6 max_steps", "7 task_type", "8 network_dim"}));
}

TEST(RunConfigErrorsTest, TypesAreStrict) {
  EXPECT_EQ(problem_of("lora_rank: eight"), "run.yaml:4:12: lora_rank: expected a whole number, got 'eight'");
  EXPECT_EQ(problem_of("lora_rank: 8.0"), "run.yaml:4:12: lora_rank: expected a whole number, got '8.0'");
  EXPECT_EQ(problem_of("lora_rank: '8'"),
            "run.yaml:4:12: lora_rank: expected a whole number, got '8'; write 8 without quotes");
  EXPECT_EQ(problem_of("lora_rank: [8]"), "run.yaml:4:12: lora_rank: expected a whole number, got a list");
  EXPECT_EQ(problem_of("lora_rank:"), "run.yaml:4:1: lora_rank: expected a whole number, got nothing");
  EXPECT_EQ(problem_of("lora_rank: 99999999999999999999"),
            "run.yaml:4:12: lora_rank: expected a whole number, got '99999999999999999999'");
  EXPECT_EQ(problem_of("seed: +-5"), "run.yaml:4:7: seed: expected a whole number, got '+-5'");
  EXPECT_EQ(problem_of("seed: +5"), "0 problems");
  EXPECT_EQ(problem_of("learning_rate: fast"), "run.yaml:4:16: learning_rate: expected a number, got 'fast'");
  EXPECT_EQ(problem_of("learning_rate: nan"), "run.yaml:4:16: learning_rate: expected a number, got 'nan'");
  EXPECT_EQ(problem_of("flip: yes"),
            "run.yaml:4:7: flip: expected true or false, got 'yes', did you mean true?");
  EXPECT_EQ(problem_of("caption_prefix: {a: b}"),
            "run.yaml:4:17: caption_prefix: expected a text, got a map");
  EXPECT_EQ(problem_of("sample_prompts: a cat"),
            "run.yaml:4:17: sample_prompts: expected a list, got 'a cat'");
  EXPECT_EQ(problem_of("sample_prompts: [{negative: x}]"),
            "run.yaml:4:18: sample_prompts[0]: the key prompt is missing");
  EXPECT_EQ(problem_of("new_model: 3\nmethod: full"),
            "run.yaml:4:12: new_model: expected a map of keys and values, got '3'");
}

TEST(RunConfigErrorsTest, RangesAreChecked) {
  EXPECT_EQ(problem_of("lora_rank: 0"), "run.yaml:4:12: lora_rank: 0 is not allowed; allowed: 1 to 1024");
  EXPECT_EQ(problem_of("learning_rate: 0"),
            "run.yaml:4:16: learning_rate: 0 is not allowed; allowed: more than 0, at most 1");
  EXPECT_EQ(problem_of("beta1: 1"), "run.yaml:4:8: beta1: 1 is not allowed; allowed: 0 or more, less than 1");
  EXPECT_EQ(problem_of("resolution: 500"),
            "run.yaml:4:13: resolution: 500 is not allowed; allowed: 16 to 4096, a multiple of 8");
  EXPECT_EQ(problem_of("resolution: [512, 20]"),
            "run.yaml:4:19: resolution: 20 is not allowed; allowed: 16 to 4096, a multiple of 8");
  EXPECT_EQ(problem_of("resolution: [512]"),
            "run.yaml:4:13: resolution: expected one number of pixels or [width, height], got a list of 1");
  EXPECT_EQ(problem_of("max_token_length: 255"),
            "run.yaml:4:19: max_token_length: 255 is not allowed; allowed: 75, 150 or 225");
  EXPECT_EQ(problem_of("sample_prompts: [a, {prompt: b, width: 3}]"),
            "run.yaml:4:40: sample_prompts[1].width: 3 is not allowed; allowed: 16 to 4096, a multiple of 8");
}

TEST(RunConfigErrorsTest, ChoicesAreListedWithTheNearest) {
  EXPECT_EQ(
      problem_of("loss: hubert"),
      "run.yaml:4:7: loss: 'hubert' is not allowed; allowed: mse, huber or smooth_l1, did you mean huber?");
  EXPECT_EQ(problem_of("device: gpu"),
            "run.yaml:4:9: device: 'gpu' is not allowed; allowed: auto, cpu, cuda or "
            "cuda:N, did you mean cpu?");
  EXPECT_EQ(
      problem_of("memory_budget: 22"),
      "run.yaml:4:16: memory_budget: '22' is not allowed; allowed: auto, or an amount with its unit such as "
      "22GiB or 800MiB");
  EXPECT_EQ(problem_of("save_name: ../x"),
            "run.yaml:4:12: save_name: '../x' is not allowed; allowed: 1 to 100 of A-Z a-z 0-9 . _ -, no dot "
            "first");
  EXPECT_EQ(
      problem_of("preset: sd15-styl"),
      "run.yaml:4:9: preset: 'sd15-styl' is not allowed; allowed: sd15-style, sd15-character, sd21-style, "
      "sdxl-style, sdxl-character or tiny, did you mean sd15-style?");
}

TEST(RunConfigErrorsTest, NamesOfOtherTrainersAreRecognised) {
  EXPECT_EQ(problem_of("network_dim: 8"),
            "run.yaml:4:1: network_dim: unknown key; here it is called lora_rank");
  EXPECT_EQ(problem_of("max_train_steps: 8"),
            "run.yaml:4:1: max_train_steps: unknown key; here it is called max_steps");
}

TEST(RunConfigErrorsTest, SecretsAreNotRepeated) {
  const auto problems = problems_of(std::string(kLeast) + "smartsheet_access_token: abc123\n");
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].to_string().find("abc123"), std::string::npos);
  EXPECT_NE(problems[0].message.find("environment variable"), std::string::npos);
}

TEST(RunConfigErrorsTest, RepeatedKeysShowBothLines) {
  EXPECT_EQ(problem_of("seed: 1\nflip: true\nseed: 2\n"),
            "run.yaml:6:1: seed: the key stands twice, first on line 4, again on line 6; keep one");
}

TEST(RunConfigErrorsTest, ConflictsAreFound) {
  EXPECT_EQ(problem_of("epochs: 1\nmax_steps: 2\n"),
            "run.yaml:5:1: max_steps: conflicts with epochs on line 4; keep one");
  EXPECT_EQ(
      problem_of("reg_data_dir: ./x/../d/\n"),
      "run.yaml:4:1: reg_data_dir: is the same folder as train_data_dir on line 2; class pictures must be "
      "other pictures");
  EXPECT_EQ(
      problem_of("random_crop: true\n"),
      "run.yaml:4:1: random_crop: random_crop needs cache_latents: false, because a cached latent has one "
      "fixed crop");
  EXPECT_EQ(
      problem_of("min_timestep: 500\nmax_timestep: 500\n"),
      "run.yaml:4:1: min_timestep: min_timestep is 500 and max_timestep is 500; the first must be smaller");
  EXPECT_EQ(problem_of("min_bucket_side: 512\nmax_bucket_side: 256\n"),
            "run.yaml:4:1: min_bucket_side: min_bucket_side is 512 and max_bucket_side is 256; the first "
            "must not be "
            "larger");
  EXPECT_EQ(problem_of("text_encoder_lr: 1e-5\n"),
            "run.yaml:4:1: text_encoder_lr: has no effect without train_text_encoder: true");
  EXPECT_EQ(problem_of("method: full\nlora_rank: 4\n"),
            "run.yaml:5:1: lora_rank: has no effect with method: full; remove it");
  EXPECT_EQ(problem_of("method: full\nlora_alpha: 4\n"),
            "run.yaml:5:1: lora_alpha: has no effect with method: full; remove it");
  EXPECT_EQ(problem_of("method: full\ntrain_text_encoder: true\ntext_encoder_lr: 1e-5\n"), "0 problems");
  EXPECT_EQ(problem_of("method: full\nnew_model: {}\n"),
            "run.yaml:5:1: new_model: conflicts with base_model on line 1; a new model starts from nothing");
  EXPECT_EQ(problem_of("zero_terminal_snr: true\nprediction_type: epsilon\n").substr(0, 31),
            "run.yaml:4:1: zero_terminal_snr");
  EXPECT_EQ(problem_of("device: cpu\ncompute_dtype: bf16\n").substr(0, 27), "run.yaml:5:1: compute_dtype");
  EXPECT_EQ(problem_of("task_type: autoencoder\n"),
            "run.yaml:4:1: task_type: autoencoder needs method: full");
}

TEST(RunConfigErrorsTest, SizesOfANewModelMustFit) {
  const auto problems = problems_of(R"(method: full
train_data_dir: d
output_dir: o
new_model:
  unet: {model_channels: 32, num_heads: 5, context_dim: 64, attention_levels: [1, 5]}
  text_encoder: {width: 128, heads: 3}
  vae: {channel_mult: []}
)");
  ASSERT_EQ(problems.size(), 5U);
  for (const ConfigProblem& p : problems) EXPECT_EQ(p.line, 4) << p.to_string();
}

TEST(RunConfigErrorsTest, OverridesAreCheckedTheSame) {
  EXPECT_EQ(problem_of("", {"lora_rank=x"}), "--set: lora_rank: expected a whole number, got 'x'");
  EXPECT_EQ(problem_of("", {"lorarank=4"}), "--set: lorarank: unknown key, did you mean lora_rank?");
  EXPECT_EQ(problem_of("", {"lora_rank"}), "--set: : expected key=value, for example --set lora_rank=16");
  EXPECT_EQ(problem_of("", {"epochs=1", "max_steps=2"}),
            "--set: max_steps: conflicts with epochs on --set; keep one");
  const auto problems = problems_of(std::string(kLeast), {"new_model.unet.num_heads=99", "method=full"});
  ASSERT_EQ(problems.size(), 2U);
  EXPECT_EQ(problems[1].to_string(),
            "--set: new_model.unet.num_heads: 99 is not allowed; allowed: 1 to 64\n"
            "  --set | new_model.unet.num_heads=99\n"
            "        |                          ^");
}

TEST(RunConfigErrorsTest, ColumnsCountCharacters) {
  const auto problems = problems_of(std::string(kLeast) + "sample_prompts: [{prompt: \"äöü\", width: 1}]\n");
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0].column, 41);
}

TEST(RunConfigErrorsTest, AFileThatIsNoMapIsRefused) {
  EXPECT_EQ(problems_of("- a\n- b\n")[0].message,
            "the key is missing; it is required: Folder of the training data.");
  const auto empty = problems_of("");
  EXPECT_EQ(empty.size(), 3U);  // the three keys that every run needs
}

TEST(SuggestTest, CountsSlips) {
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("ab", "ba"), 1U);
  EXPECT_EQ(edit_distance("LORA-RANK", "lora_rank"), 0U);
  EXPECT_FALSE(nearest("zebra", {"lora_rank", "seed"}));
  EXPECT_EQ(nearest("sede", {"lora_rank", "seed"}), "seed");
}

}  // namespace
}  // namespace rankine::config
