// The quickstart's promise as numbers: after training, pictures of prompts that no training picture shows are
// in the new style and in the colours asked for; before, they are not.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "io/formats/adapter_file.h"
#include "tests/apps/process.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

const std::string kExample = std::string(RANKINE_SOURCE_DIR) + "/examples/sd-style/";

class StyleExample : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::current_path(RANKINE_SOURCE_DIR);  // the run file counts its paths from here
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  void run(const std::vector<std::string>& args) {
    const Finished f = rankine_run(args, folder);
    ASSERT_EQ(f.code, 0) << args[0] << "\n" << f.err;
  }
  void draw(const std::string& lora, const std::string& out) {
    run({"sample", kExample + "train.yaml", "--prompts", kExample + "held_out.txt", "--seed", "7", "--lora",
         lora, "--out", (folder / out).string()});
  }
  const fs::path folder = fs::path(::testing::TempDir()) / "style_example";
};

TEST_F(StyleExample, TheLoraTeachesTheStyle) {
  const std::string output = (folder / "run").string();
  run({"train", kExample + "train.yaml", "--set", "output_dir=" + output});
  const AdapterFile adapter = read_adapter(fs::path(output) / "adapter.safetensors");
  EXPECT_EQ(adapter.modules.size(), 277U);  // kohya's 192, and the convolutions of equal-width levels
  EXPECT_EQ(adapter.metadata.at("ss_base_model_version"), "sd_v1");
  EXPECT_EQ(adapter.metadata.at("ss_network_dim"), "16");
  EXPECT_TRUE(fs::exists(fs::path(output) / "report.html"));
  EXPECT_TRUE(fs::exists(fs::path(output) / "samples/grid.png"));

  draw("none", "before");
  draw(output + "/adapter.safetensors", "after");
  const Finished scored =
      rankine_run({"score", (folder / "after").string(), "--before", (folder / "before").string(),
                   "--prompts", kExample + "held_out.txt", "--into", output, "--json"},
                  folder);
  ASSERT_EQ(scored.code, 0) << scored.err;
  const auto json = nlohmann::json::parse(scored.out);
  EXPECT_EQ(json.at("pictures"), 32);
  EXPECT_LE(json.at("before").at("style_share").get<double>(), 0.2);
  EXPECT_GE(json.at("style_share").get<double>(), 0.4);
  EXPECT_GE(json.at("colour_match").get<double>(), 0.8);
  EXPECT_NE(file_text(fs::path(output) / "report.html").find("In the new style"), std::string::npos);
}

}  // namespace
}  // namespace rankine
