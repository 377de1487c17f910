// What is made from the table of keys: the echo, the schema, the documentation.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "io/config/codec.h"
#include "io/config/presets.h"
#include "io/config/run_config.h"

namespace rankine::config {
namespace {

constexpr std::string_view kLeast = "base_model: m\ntrain_data_dir: d\noutput_dir: o\n";

RunConfig parse(const std::string& more) { return parse_run_config(std::string(kLeast) + more, "run.yaml"); }

void expect_same_after_echo(RunConfig config) {
  const std::string yaml = to_yaml(config);
  const RunConfig again = parse_run_config(yaml, "echo.yaml");
  config.model.preset.reset();
  EXPECT_TRUE(again == config) << yaml;
  EXPECT_EQ(to_yaml(again), to_yaml(config));
}

TEST(RunConfigOutputTest, TheEchoReadsBackToTheSameValues) {
  expect_same_after_echo(parse(""));
  expect_same_after_echo(parse("max_steps: 5\nresolution: [512, 768]\n"));
  expect_same_after_echo(parse(R"(learning_rate: 1.2345678901234567e-5
lr_warmup_steps: 12
memory_budget: 1.23456789GB
device: cuda:3
caption_prefix: "no: #1 'quoted' \"twice\" \\ \t tab, end "
caption_suffix: "line\nbreak é 🦊"
caption_separator: "|"
target_modules: ["*", "true", "1", "~", "- a", "null"]
sample_prompts:
  - "a: {b} [c], #d & *e !f %g @h `i"
  - {prompt: "", negative: "x\ty", width: 64, height: 128, steps: 3, cfg: 1.5, seed: 9007199254740991}
text_encoder_lr: 1e-6
train_text_encoder: true
lora_conv_rank: 4
lora_conv_alpha: 0.5
)"));
  expect_same_after_echo(parse(R"(task_type: text-generation
custom_template: {begin: "{bos?}", user: "Q: {user}\n", assistant: "A: {assistant}", stop: "<|end|>"}
target_modules: [all-linear]
use_dora: true
packing: true
truncation: drop
quantise_base: nf4
rope_theta: 5e5
validation_data: held.jsonl
)"));
  for (const Preset& preset : presets()) expect_same_after_echo(parse(join("preset: ", preset.name, "\n")));
  expect_same_after_echo(
      parse_run_config("method: full\ntrain_data_dir: d\noutput_dir: o\nnew_model: {unet: {channel_mult: [1, "
                       "2], attention_levels: []}}\n",
                       "run.yaml"));
}

TEST(RunConfigOutputTest, TheEchoHasEveryKey) {
  const std::string yaml = to_yaml(parse(""));
  for (const char* task : {"text-to-image", "text-generation"}) {
    const RunConfig config = parse(join("task_type: ", task, "\n"));
    const std::string text = to_yaml(config);
    for (const auto& field : table_of<RunConfig>()) {
      if (field.value(config).is_null()) continue;
      const bool there = text.find(join("\n", field.info.key, ": ")) != std::string::npos;
      EXPECT_EQ(there, has_effect(field.info, config)) << field.info.key;
    }
  }
  EXPECT_NE(yaml.find("\nlearning_rate: 1.0e-4\n"), std::string::npos);
}

TEST(RunConfigOutputTest, KeyValuesAreOneLineEach) {
  for (const auto& [key, value] : to_key_values(parse("sample_prompts: [a, {prompt: \"b\\nc\"}]\n"))) {
    EXPECT_EQ(value.find('\n'), std::string::npos) << key;
  }
}

TEST(RunConfigOutputTest, TheTableIsComplete) {
  std::set<std::string_view> keys;
  std::set<std::string> aliases;
  for (const auto& field : table_of<RunConfig>()) {
    EXPECT_TRUE(keys.insert(field.info.key).second) << field.info.key;
    EXPECT_FALSE(field.section.empty());
    EXPECT_TRUE(field.info.doc.size() > 5 && field.info.doc.back() == '.') << field.info.key;
    std::istringstream words{std::string(field.info.known_as)};
    for (std::string word; words >> word;) EXPECT_TRUE(aliases.insert(word).second) << word;
  }
  for (const std::string& alias : aliases) EXPECT_EQ(keys.count(alias), 0U) << alias;
}

TEST(RunConfigOutputTest, DefaultsAreInsideTheirRange) {
  const RunConfig defaults;
  for (const auto& field : table_of<RunConfig>()) {
    const Json value = field.value(defaults);
    if (!value.is_number()) continue;
    EXPECT_GE(value.get<double>(), field.info.min) << field.info.key;
    EXPECT_LE(value.get<double>(), field.info.max) << field.info.key;
  }
}

TEST(RunConfigOutputTest, TheSchemaDescribesEveryKey) {
  const auto schema = nlohmann::json::parse(run_config_schema());
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["required"], nlohmann::json({"train_data_dir", "output_dir"}));
  EXPECT_EQ(schema["properties"].size(), table_of<RunConfig>().size());
  EXPECT_EQ(schema["properties"]["lora_rank"]["default"], 8);
  EXPECT_EQ(schema["properties"]["lora_rank"]["maximum"], 1024);
  EXPECT_EQ(schema["properties"]["learning_rate"]["exclusiveMinimum"], 0);
  EXPECT_EQ(schema["properties"]["loss"]["enum"], nlohmann::json({"mse", "huber", "smooth_l1"}));
  EXPECT_EQ(schema["properties"]["max_token_length"]["enum"], nlohmann::json({75, 150, 225}));
  for (const auto& [key, entry] : schema["properties"].items())
    EXPECT_TRUE(entry.contains("description")) << key;
}

TEST(RunConfigOutputTest, TheCommittedReferenceIsCurrent) {
  std::ifstream in(RANKINE_SOURCE_DIR "/docs/configuration.md", std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_TRUE(text.str() == config_reference_markdown())
      << "docs/configuration.md is not what config_reference_markdown() makes";
}

}  // namespace
}  // namespace rankine::config
