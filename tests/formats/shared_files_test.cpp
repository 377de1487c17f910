// Files made elsewhere, where they are at hand: the reference's verdicts, and real adapters.
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "io/formats/adapter_file.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

TEST(SharedFiles, MalformedSafetensors) {
  const auto folder = test::shared_data() / "malformed/safetensors";
  if (!exists(folder)) GTEST_SKIP() << "SKIPPED: no recorded files in " << folder;
  const auto index = nlohmann::json::parse(test::read_all(folder / "INDEX.json"));
  ASSERT_GE(index.size(), 19U);
  for (const auto& [name, facts] : index.items()) {
    bool accepted = true;
    std::string message;
    try {
      const SafetensorsFile file(folder / name);
    } catch (const DataError& e) {
      accepted = false;
      message = e.what();
    }
    EXPECT_EQ(accepted, facts.at("expect") == "accept") << name << ": " << facts.at("why") << "; " << message;
    EXPECT_TRUE(accepted || message.starts_with((folder / name).string())) << message;
  }
}

TEST(SharedFiles, ProcessorSpelling) {
  const auto path = test::shared_data() / "adapters/catundchat_sd15.safetensors";
  if (!exists(path)) GTEST_SKIP() << "SKIPPED: no recorded file " << path;
  const AdapterFile file = read_adapter(path);
  ASSERT_EQ(file.modules.size(), 128U);  // 16 transformers, two attentions, four matrices
  for (const AdapterModule& m : file.modules) {
    EXPECT_EQ(m.rank(), 4);
    EXPECT_EQ(m.alpha, 4.0F);
    EXPECT_EQ(m.name.find("lora_unet_"), 0U);
    EXPECT_EQ(m.name.find("processor"), std::string::npos);
  }
  EXPECT_EQ(file.modules.front().name,
            "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_k");
  EXPECT_EQ(file.modules[1].name, "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0");
}

TEST(SharedFiles, NumberedModulesAreRefusedByName) {
  const auto path = test::shared_data() / "adapters/cloneofsimo_analog_svd_rank4.safetensors";
  if (!exists(path)) GTEST_SKIP() << "SKIPPED: no recorded file " << path;
  EXPECT_EQ(SafetensorsFile(path).tensors().size(), 384U);
  const std::string message = test::message_of<DataError>([&] { read_adapter(path); });
  EXPECT_NE(message.find("numbers for module names"), std::string::npos) << message;
}

}  // namespace
}  // namespace rankine
