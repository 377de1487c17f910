// The promise of examples/medical-qa as numbers: trained on the 2023 q4_0 file, the adapter answers held-out
// questions that the base model cannot, and the same adapter works on the same model in other containers.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/apps/process.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

const std::string kExample = std::string(RANKINE_SOURCE_DIR) + "/examples/medical-qa/";

class MedicalExample : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::current_path(RANKINE_SOURCE_DIR);  // the run file counts its paths from here
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  std::string run(const std::vector<std::string>& args) {
    const Finished f = rankine_run(args, folder);
    EXPECT_EQ(f.code, 0) << args[0] << "\n" << f.err;
    return f.out;
  }
  nlohmann::json eval(const std::vector<std::string>& more) {
    std::vector<std::string> args{"eval", kExample + "train.yaml", "--set", "output_dir=" + output, "--json"};
    args.insert(args.end(), more.begin(), more.end());
    return nlohmann::json::parse(run(args));
  }
  const fs::path folder = fs::path(::testing::TempDir()) / "medical_example";
  const std::string output = (folder / "run").string();
};

TEST_F(MedicalExample, TheLoraTeachesTheFacts) {
  run({"train", kExample + "train.yaml", "--set", "output_dir=" + output});
  EXPECT_TRUE(fs::exists(fs::path(output) / "adapter/adapter_model.safetensors"));
  EXPECT_TRUE(fs::exists(fs::path(output) / "adapter.gguf"));

  const nlohmann::json scores = eval({});
  EXPECT_GE(scores.at("rows").get<int>(), 60);
  const double base = scores.at("base").at("exact_match"), adapter = scores.at("adapter").at("exact_match");
  EXPECT_GT(adapter - base, 0.4) << base << " to " << adapter;
  EXPECT_LT(scores.at("adapter").at("perplexity").get<double>(),
            scores.at("base").at("perplexity").get<double>());
  EXPECT_NE(file_text(fs::path(output) / "report.html").find("Exact match"), std::string::npos);

  // The adapter is for the weights, not for the container: GGUF q4_0 holds the same blocks.
  const std::string gguf = kExample + "base/medical-base.q4_0.gguf";
  for (const char* file : {"/adapter", "/adapter.gguf"}) {
    const nlohmann::json other = eval({"--set", "base_model=" + gguf, "--lora", output + file});
    EXPECT_NEAR(other.at("adapter").at("exact_match").get<double>(), adapter, 0.03) << file;
    EXPECT_NEAR(other.at("base").at("exact_match").get<double>(), base, 0.03) << file;
  }
}

}  // namespace
}  // namespace rankine
