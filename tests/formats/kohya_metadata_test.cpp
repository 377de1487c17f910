// Training facts in the words and the spelling that other tools expect.
#include "io/formats/kohya_metadata.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/formats/python_text.h"

namespace rankine {
namespace {

// Expected texts are what Python 3 prints.
TEST(PythonText, Str) {
  EXPECT_EQ(python_str(true), "True");
  EXPECT_EQ(python_str(std::int64_t{-3}), "-3");
  EXPECT_EQ(python_str(std::optional<double>()), "None");
  EXPECT_EQ(python_str(std::optional<double>(1)), "1.0");
  const std::vector<std::pair<double, std::string>> numbers = {
      {0.0002, "0.0002"},
      {0.0001, "0.0001"},
      {0.00001, "1e-05"},
      {0.00009999, "9.999e-05"},
      {1.5e-7, "1.5e-07"},
      {0, "0.0"},
      {-0.0, "-0.0"},
      {8, "8.0"},
      {100000, "100000.0"},
      {1e15, "1000000000000000.0"},
      {1e16, "1e+16"},
      {1.25e+100, "1.25e+100"},
      {0.1 + 0.2, "0.30000000000000004"},
      {1700000000.123, "1700000000.123"},
      {std::numeric_limits<double>::infinity(), "inf"}};
  for (const auto& [value, text] : numbers) EXPECT_EQ(python_str(value), text);
}

TEST(PythonText, Json) {
  const nlohmann::ordered_json value = {{"b", {1, 2.5, 1e-5, nullptr, true}},
                                        {"a", {{"é\n", "\"🙂"}}},
                                        {"e", nlohmann::ordered_json::object()}};
  EXPECT_EQ(python_json(value),
            R"({"b": [1, 2.5, 1e-05, null, true], "a": {"\u00e9\n": "\"\ud83d\ude42"}, "e": {}})");
  EXPECT_THROW(python_json("\xff"), DataError);
}

KohyaFacts facts() {
  KohyaFacts f;
  f.run = {"cat", std::nullopt, "42", 1700000000.5, 1700000060, 7, 100, 10};
  f.model.version = BaseVersion::sd_v1;
  f.model.name = "v1-5-pruned.safetensors";
  f.model.clip_skip = 2;
  f.network = {8, 4, std::nullopt, {{"conv_dim", "4"}}, std::nullopt};
  f.optimizer.learning_rate = 2e-4;
  f.optimizer.unet_lr = 1e-5;
  f.optimizer.optimizer = "AdamW(weight_decay=0.01)";
  f.data.folders = {{"10_cat", 10, 5, {{"a cat", 3}, {"sofa", 1}}}};
  f.data.buckets = {{512, 512, 30}, {448, 576, 20}};
  f.data.mean_aspect_error = 0.25;
  return f;
}

TEST(KohyaMetadata, KeysAndSpelling) {
  const MetadataTable m = kohya_metadata(facts());
  EXPECT_EQ(m.at("ss_output_name"), "cat");
  EXPECT_EQ(m.at("ss_training_comment"), "None");
  EXPECT_EQ(m.at("ss_training_started_at"), "1700000000.5");
  EXPECT_EQ(m.at("ss_seed"), "7");
  EXPECT_EQ(m.at("ss_base_model_version"), "sd_v1");
  EXPECT_EQ(m.at("ss_v2"), "False");
  EXPECT_EQ(m.at("ss_clip_skip"), "2");
  EXPECT_EQ(m.at("ss_network_module"), "networks.lora");
  EXPECT_EQ(m.at("ss_network_dim"), "8");
  EXPECT_EQ(m.at("ss_network_alpha"), "4.0");
  EXPECT_EQ(m.at("ss_network_args"), R"({"conv_dim": "4"})");
  EXPECT_EQ(m.at("ss_learning_rate"), "0.0002");
  EXPECT_EQ(m.at("ss_unet_lr"), "1e-05");
  EXPECT_EQ(m.at("ss_text_encoder_lr"), "None");
  EXPECT_EQ(m.at("ss_resolution"), "(512, 512)");
  EXPECT_EQ(m.at("ss_enable_bucket"), "True");
  EXPECT_EQ(m.at("ss_dataset_dirs"), R"({"10_cat": {"n_repeats": 10, "img_count": 5}})");
  EXPECT_EQ(m.at("ss_reg_dataset_dirs"), "{}");
  EXPECT_EQ(m.at("ss_tag_frequency"), R"({"10_cat": {"a cat": 3, "sofa": 1}})");
  EXPECT_EQ(m.at("ss_bucket_info"),
            R"({"buckets": {"0": {"resolution": [512, 512], "count": 30}, )"
            R"("1": {"resolution": [448, 576], "count": 20}}, "mean_img_ar_error": 0.25})");
  EXPECT_EQ(m.count("ss_sd_model_hash"), 0U);  // not known: not written
}

TEST(KohyaMetadata, ModelSpec) {
  const MetadataTable m = kohya_metadata(facts());
  EXPECT_EQ(m.at("modelspec.sai_model_spec"), "1.0.1");
  EXPECT_EQ(m.at("modelspec.architecture"), "stable-diffusion-v1/lora");
  EXPECT_EQ(m.at("modelspec.implementation"), "diffusers");
  EXPECT_EQ(m.at("modelspec.title"), "cat");
  EXPECT_EQ(m.at("modelspec.resolution"), "512x512");
  EXPECT_EQ(m.at("modelspec.date"), "2023-11-14T22:14:20Z");
  EXPECT_EQ(m.at("modelspec.encoder_layer"), "2");
  EXPECT_EQ(m.count("modelspec.author"), 0U);
}

TEST(KohyaMetadata, BaseVersions) {
  struct Expected {
    BaseVersion version;
    const char *name, *v2, *architecture, *prediction;
  };
  for (const Expected& e :
       {Expected{BaseVersion::sd_v1, "sd_v1", "False", "stable-diffusion-v1/lora", "epsilon"},
        Expected{BaseVersion::sd_v1_v, "sd_v1_v", "False", "stable-diffusion-v1/lora", "v"},
        Expected{BaseVersion::sd_v2, "sd_v2", "True", "stable-diffusion-v2-512/lora", "epsilon"},
        Expected{BaseVersion::sd_v2_v, "sd_v2_v", "True", "stable-diffusion-v2-768-v/lora", "v"},
        Expected{BaseVersion::sdxl_base_v1_0, "sdxl_base_v1-0", "False", "stable-diffusion-xl-v1-base/lora",
                 "epsilon"}}) {
    KohyaFacts f = facts();
    f.model.version = e.version;
    const MetadataTable m = kohya_metadata(f);
    EXPECT_EQ(m.at("ss_base_model_version"), e.name);
    EXPECT_EQ(m.at("ss_v2"), e.v2);
    EXPECT_EQ(m.at("modelspec.architecture"), e.architecture);
    EXPECT_EQ(m.at("modelspec.prediction_type"), e.prediction);
  }
}

TEST(KohyaMetadata, NoBuckets) {
  KohyaFacts f = facts();
  f.data.buckets.clear();
  const MetadataTable m = kohya_metadata(f);
  EXPECT_EQ(m.at("ss_bucket_info"), "null");
  EXPECT_EQ(m.at("ss_enable_bucket"), "False");
}

}  // namespace
}  // namespace rankine
