// Reading good run files: values, defaults, layers, overrides.
#include "io/config/run_config.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/config/presets.h"

namespace rankine::config {
namespace {

constexpr std::string_view kPictures = R"(train_data_dir: ./data/cyberpunk_train
metadata_path: ./data/cyberpunk_train/metadata.csv
base_model: ./models/v1-5-pruned.safetensors
lora_rank: 8
batch_size: 4
epochs: 10
learning_rate: 2e-4
output_dir: ./output/cyberpunk_lora
save_steps: 100
)";

constexpr std::string_view kRows = R"(base_model: ./models/llama-2-7b-chat.ggmlv3.q4_0.bin
task_type: text-generation
train_data_dir: ./data/medical_qa
lora_rank: 16
batch_size: 2
epochs: 15
learning_rate: 1e-4
output_dir: ./output/medical_assistant_lora
)";

constexpr std::string_view kLeast = "base_model: m\ntrain_data_dir: d\noutput_dir: o\n";

RunConfig parse(std::string_view more, const std::vector<std::string>& sets = {}) {
  return parse_run_config(std::string(kLeast) + std::string(more), "run.yaml", sets);
}

TEST(RunConfigTest, ReadsTheFileForPictures) {
  const RunConfig c = parse_run_config(kPictures, "cyberpunk.yaml");
  EXPECT_EQ(c.data.train_data_dir, "./data/cyberpunk_train");
  EXPECT_EQ(c.data.metadata_path, "./data/cyberpunk_train/metadata.csv");
  EXPECT_EQ(c.model.base_model, "./models/v1-5-pruned.safetensors");
  EXPECT_EQ(c.adapter.lora_rank, 8);
  EXPECT_EQ(c.optim.batch_size, 4);
  EXPECT_EQ(c.optim.epochs, 10);
  EXPECT_EQ(c.optim.learning_rate, 2e-4);
  EXPECT_EQ(c.output.output_dir, "./output/cyberpunk_lora");
  EXPECT_EQ(c.output.save_steps, 100);
  EXPECT_EQ(c.model.task_type, TaskType::text_to_image);
  EXPECT_EQ(c.adapter.alpha(), 8.0);
  EXPECT_FALSE(c.optim.max_steps);
}

TEST(RunConfigTest, ReadsTheFileForText) {
  const RunConfig c = parse_run_config(kRows, "medical.yaml");
  EXPECT_EQ(c.model.task_type, TaskType::text_generation);
  EXPECT_EQ(c.adapter.lora_rank, 16);
  EXPECT_EQ(c.optim.epochs, 15);
}

TEST(RunConfigTest, FillsInTheNumberOfEpochs) {
  EXPECT_EQ(parse("").optim.epochs, 10);
  const RunConfig steps = parse("max_steps: 300\n");
  EXPECT_EQ(steps.optim.max_steps, 300);
  EXPECT_FALSE(steps.optim.epochs);
}

TEST(RunConfigTest, ReadsEveryKindOfValue) {
  const RunConfig c = parse(R"(resolution: [768, 512]
lr_warmup_steps: 0.1
memory_budget: "22GiB"
device: cuda:1
flip: true
prediction_type: v_prediction
target_modules: [attn1.*, 'attn2.to_q']
lora_alpha: 4
caption_prefix: "a photo of: "
max_token_length: 225
sample_prompts:
  - a red fox, #1
  - {prompt: a cat, negative: dog, width: 640, steps: 12, cfg: 4.5, seed: 7, sampler: ddim}
)");
  EXPECT_EQ(c.data.resolution, (Resolution{768, 512}));
  EXPECT_EQ(c.optim.lr_warmup_steps.steps_of(250), 25);
  EXPECT_EQ(c.machine.memory_budget.bytes, 22ULL << 30);
  EXPECT_EQ(c.machine.device, (DeviceChoice{DeviceChoice::Kind::cuda, 1}));
  EXPECT_TRUE(c.data.flip);
  EXPECT_EQ(c.objective.prediction_type, PredictionType::v_prediction);
  EXPECT_EQ(c.adapter.target_modules, (std::vector<std::string>{"attn1.*", "attn2.to_q"}));
  EXPECT_EQ(c.adapter.alpha(), 4.0);
  EXPECT_EQ(c.data.caption_prefix, "a photo of: ");
  ASSERT_EQ(c.output.sample_prompts.size(), 2U);
  EXPECT_EQ(c.output.sample_prompts[0].prompt, "a red fox,");  // YAML: '#' after a blank starts a comment
  EXPECT_FALSE(c.output.sample_prompts[0].seed);
  EXPECT_EQ(c.output.sample_prompts[1].seed, 7);
  EXPECT_EQ(c.output.sample_prompts[1].sampler, Sampler::ddim);
  EXPECT_EQ(c.output.sample_prompts[1].cfg, 4.5);
  EXPECT_FALSE(c.output.sample_prompts[1].height);
}

TEST(RunConfigTest, WarmupIsStepsOrAShare) {
  EXPECT_EQ(parse("lr_warmup_steps: 40\n").optim.lr_warmup_steps.steps_of(1000), 40);
  EXPECT_EQ(parse("lr_warmup_steps: 40\n").optim.lr_warmup_steps.steps_of(30), 30);
  EXPECT_EQ(parse("lr_warmup_steps: 1\n").optim.lr_warmup_steps.steps_of(1000), 1);
  EXPECT_EQ(parse("lr_warmup_steps: 0\n").optim.lr_warmup_steps.steps_of(1000), 0);
  EXPECT_EQ(parse("lr_warmup_steps: 0.0\n").optim.lr_warmup_steps.steps_of(1000), 0);
}

TEST(RunConfigTest, ReadsAmountsOfMemory) {
  EXPECT_EQ(parse("memory_budget: auto\n").machine.memory_budget.bytes, 0U);
  EXPECT_EQ(parse("memory_budget: 1.5GiB\n").machine.memory_budget.bytes, 1536ULL << 20);
  EXPECT_EQ(parse("memory_budget: 800 MB\n").machine.memory_budget.bytes, 800'000'000U);
}

TEST(RunConfigTest, NewModelTakesItsDefaults) {
  const RunConfig c = parse_run_config(
      "method: full\ntrain_data_dir: d\noutput_dir: o\nnew_model: {unet: {model_channels: 32}}\n",
      "run.yaml");
  ASSERT_TRUE(c.model.new_model);
  EXPECT_EQ(c.model.new_model->unet.model_channels, 32);
  EXPECT_EQ(c.model.new_model->unet.num_heads, NewUnet{}.num_heads);
  EXPECT_EQ(c.model.new_model->vae, NewVae{});
}

TEST(RunConfigTest, FullTrainingKeepsTheTextEncoderKeys) {
  const RunConfig c = parse("method: full\npreset: sd15-character\n");
  EXPECT_TRUE(c.adapter.train_text_encoder);
  EXPECT_EQ(c.adapter.text_encoder_lr, 5e-5);
  EXPECT_EQ(c.adapter.lora_rank, AdapterSection{}.lora_rank);  // the preset's rank means nothing here
  const std::string echo = to_yaml(c);
  EXPECT_NE(echo.find("\ntrain_text_encoder: true\n"), std::string::npos);
  EXPECT_EQ(echo.find("\nlora_rank"), std::string::npos);
  EXPECT_EQ(parse_run_config(echo, "echo.yaml").adapter, c.adapter);
}

TEST(RunConfigTest, OverridesWinOverTheFile) {
  const RunConfig c =
      parse("lora_rank: 4\nepochs: 3\n", {"lora_rank=32", "resolution=[640,384]", "max_steps=7",
                                          "sample_prompts=[a cat, {prompt: b}]", "lora_rank=64"});
  EXPECT_EQ(c.adapter.lora_rank, 64);  // the last one
  EXPECT_EQ(c.data.resolution, (Resolution{640, 384}));
  EXPECT_EQ(c.optim.max_steps, 7);  // --set replaces what the file says about the length
  EXPECT_FALSE(c.optim.epochs);
  EXPECT_EQ(c.output.sample_prompts.size(), 2U);
}

TEST(RunConfigTest, OverridesOfTextAreLiteral) {
  EXPECT_EQ(parse("", {"caption_prefix=a: b # c"}).data.caption_prefix, "a: b # c");
  EXPECT_EQ(parse("", {"caption_prefix=' x'"}).data.caption_prefix, " x");
  EXPECT_EQ(parse("", {"caption_prefix="}).data.caption_prefix, "");
  EXPECT_EQ(parse("", {"output_dir=a=b"}).output.output_dir, "a=b");
}

TEST(RunConfigTest, OverridesReachIntoMaps) {
  const RunConfig c = parse_run_config(
      "method: full\ntrain_data_dir: d\noutput_dir: o\nnew_model: {unet: {model_channels: 32}}\n", "run.yaml",
      {"new_model.unet.num_heads=8", "new_model.vae.channels=64"});
  EXPECT_EQ(c.model.new_model->unet.model_channels, 32);
  EXPECT_EQ(c.model.new_model->unet.num_heads, 8);
  EXPECT_EQ(c.model.new_model->vae.channels, 64);
}

TEST(RunConfigTest, PresetsStandBelowTheFile) {
  const RunConfig c = parse("preset: sd15-character\nlora_rank: 4\nmax_steps: 10\n");
  EXPECT_EQ(c.adapter.lora_rank, 4);
  EXPECT_EQ(c.adapter.alpha(), 4.0);  // the preset's alpha belongs to its rank
  EXPECT_EQ(parse("preset: sd15-character\n").adapter.alpha(), 16.0);
  EXPECT_TRUE(c.adapter.train_text_encoder);
  EXPECT_EQ(c.adapter.text_encoder_lr, 5e-5);
  EXPECT_EQ(c.optim.max_steps, 10);  // replaces the preset's epochs
  EXPECT_FALSE(c.optim.epochs);
  EXPECT_EQ(parse("preset: tiny\n", {"preset=sdxl-style"}).data.resolution, (Resolution{1024, 1024}));
}

TEST(RunConfigTest, AFileCanUndoAPreset) {
  const RunConfig c = parse("preset: sd15-character\ntext_encoder_lr:\n");
  EXPECT_TRUE(c.adapter.train_text_encoder);
  EXPECT_FALSE(c.adapter.text_encoder_lr);
  EXPECT_FALSE(parse("preset: sd15-character\ntrain_text_encoder: false\n").adapter.text_encoder_lr);
}

TEST(RunConfigTest, EveryPresetIsAGoodRunFile) {
  for (const Preset& preset : presets()) {
    EXPECT_NO_THROW(parse("", {"preset=" + std::string(preset.name)})) << preset.name;
    // As the user's own keys they must not conflict either.
    EXPECT_NO_THROW(parse(preset.yaml)) << preset.name;
  }
}

TEST(RunConfigTest, SmallResolutionsLowerTheSmallestBucket) {
  EXPECT_EQ(parse("resolution: 64\n").data.min_bucket_side, 64);
  EXPECT_EQ(parse("resolution: 512\n").data.min_bucket_side, 256);
  EXPECT_EQ(parse("resolution: 3072\n").data.max_bucket_side, 3072);
}

TEST(RunConfigTest, LoadsAFileWithBomAndWindowsLines) {
  const std::string path = testing::TempDir() + "bom.yaml";
  std::ofstream(path, std::ios::binary) << "\xEF\xBB\xBF"
                                        << "base_model: m\r\ntrain_data_dir: d\r\noutput_dir: o\r\n";
  const RunConfig c = load_run_config(path, {"seed=5"});
  EXPECT_EQ(c.model.base_model, "m");
  EXPECT_EQ(c.output.output_dir, "o");
  EXPECT_EQ(c.optim.seed, 5);
}

TEST(RunConfigTest, NamesAFileThatIsNotThere) {
  try {
    load_run_config("no/such/run.yaml");
    FAIL();
  } catch (const IoError& e) {
    EXPECT_NE(std::string(e.what()).find("no/such/run.yaml"), std::string::npos);
  }
  EXPECT_THROW(load_run_config(testing::TempDir()), IoError);
}

}  // namespace
}  // namespace rankine::config
