// The commands of language models on the example's small base: from rows to files, and what users see.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/apps/process.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

const std::string kExample = std::string(RANKINE_SOURCE_DIR) + "/examples/medical-qa/";

class CliText : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::current_path(RANKINE_SOURCE_DIR);
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  Finished run(std::vector<std::string> args) { return rankine_run(args, folder); }
  std::vector<std::string> config(const std::string& command, const std::vector<std::string>& more = {}) {
    std::vector<std::string> args{command, kExample + "train.yaml", "--set",
                                  "output_dir=" + (folder / "run").string()};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  // Tests run side by side.
  const fs::path folder =
      fs::path(::testing::TempDir()) /
      (std::string("cli_text_") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

TEST_F(CliText, ValidateShowsTheTokensAndWhatIsTrained) {
  const Finished f = run(config("validate", {"--json"}));
  ASSERT_EQ(f.code, 0) << f.err;
  const Json json = Json::parse(f.out);
  EXPECT_EQ(json.at("rows"), 84);
  EXPECT_EQ(json.at("held_out_rows"), 84);
  EXPECT_GT(json.at("trained_tokens").get<int>(), 84 * 3);
  EXPECT_LT(json.at("trained_tokens").get<int>(), json.at("tokens").get<int>());
  EXPECT_FALSE(json.at("assumed").empty());  // a ggjt file says no epsilon
  const Json& first = json.at("samples").at(0);
  EXPECT_EQ(first.at("ids").size(), first.at("trained").size());
  EXPECT_NE(first.at("shown").get<std::string>().find("⟦"), std::string::npos);
  // The end of the answer is trained.
  EXPECT_EQ(first.at("trained").back(), 1);
}

TEST_F(CliText, NothingToTrainIsAnError) {
  std::ofstream(folder / "rows.jsonl") << R"({"instruction": "a", "output": ""})" << '\n';
  const Finished f = run(config("validate", {"--set", "train_data_dir=" + (folder / "rows.jsonl").string()}));
  EXPECT_EQ(f.code, 3);
  EXPECT_NE(f.err.find("rows.jsonl"), std::string::npos) << f.err;
}

TEST_F(CliText, KeysOfPicturesAreRefused) {
  const Finished f = run(config("train", {"--set", "resolution=512"}));
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("has no effect with task_type: text-generation"), std::string::npos) << f.err;
}

TEST_F(CliText, PlanForecastsTheRun) {
  const Finished planned = run(config("plan", {"--json", "--set", "max_steps=2"}));
  ASSERT_EQ(planned.code, 0) << planned.err;
  const Finished trained = run(config("train", {"--json", "--set", "max_steps=2"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  const Json plan = Json::parse(planned.out), result = Json::parse(trained.out);
  const double forecast = plan.at("peak_bytes"), measured = result.at("measured_peak_bytes");
  EXPECT_LE(measured, forecast);
  EXPECT_GE(measured, 0.7 * forecast);  // the forecast holds for the longest rows, which may not have come
  EXPECT_GT(plan.at("flops").get<double>(), 1e8);
}

TEST_F(CliText, TrainGenerateMergeAndInspect) {
  const Finished trained = run(config("train", {"--set", "max_steps=20"}));
  ASSERT_EQ(trained.code, 0) << trained.err;
  const std::string adapter = (folder / "run/adapter").string();

  const Finished inspected = run({"inspect", adapter, "--json"});
  ASSERT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_EQ(Json::parse(inspected.out).at("modules").size(), 28U);  // 7 linears of 4 layers

  const Finished compared =
      run(config("generate", {"--compare", "--json", "--prompt", "What is the capital of France?"}));
  ASSERT_EQ(compared.code, 0) << compared.err;
  const Json answer = Json::parse(compared.out);
  EXPECT_EQ(answer.at("base"), "Paris.");
  EXPECT_FALSE(answer.at("answer").get<std::string>().empty());

  const std::string merged = (folder / "merged.gguf").string();
  const Finished merge = run(config("merge", {"--out", merged, "--type", "f16", "--json"}));
  ASSERT_EQ(merge.code, 0) << merge.err;
  const Json losses = Json::parse(merge.out);
  EXPECT_LT(losses.at("adapter_loss").get<double>(), losses.at("base_loss").get<double>());
  EXPECT_NEAR(losses.at("merged_loss").get<double>(), losses.at("adapter_loss").get<double>(), 5e-3);
  const Finished model = run({"inspect", merged, "--json"});
  ASSERT_EQ(model.code, 0) << model.err;
  EXPECT_EQ(Json::parse(model.out).at("family"), "llama");
  // Nothing is overwritten.
  EXPECT_EQ(run(config("merge", {"--out", merged})).code, 2);
}

}  // namespace
}  // namespace rankine
