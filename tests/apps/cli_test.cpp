// The command line itself: help, errors and exit codes, and the commands that compute little.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/apps/process.h"
#include "tests/apps/tiny_run.h"

namespace rankine {
namespace {
using nlohmann::json;

class Cli : public testing::Test {
 protected:
  Finished run(const std::vector<std::string>& args) const { return rankine_run(args, folder_.root()); }

  TinyRun folder_{std::string("cli_") + testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(Cli, VersionAndHelpGoToStdout) {
  const Finished version = run({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_EQ(version.out.rfind("rankine ", 0), 0U) << version.out;
  const Finished help = run({"train", "--help"});
  EXPECT_EQ(help.code, 0);
  EXPECT_LT(help.out.find("Examples:"), help.out.find("--resume")) << help.out;
}

TEST_F(Cli, AMistypedCommandIsNamedAndCorrected) {
  const Finished f = run({"tarin", "x.yaml"});
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("train"), std::string::npos) << f.err;
  EXPECT_TRUE(f.out.empty()) << f.out;
}

TEST_F(Cli, AllProblemsOfARunFileComeAtOnce) {
  std::ofstream(folder_.root() / "bad.yaml")
      << "base_model: m.safetensors\nlora_rnak: 8\ntrain_data_dir: x\nbatch_size: 0\n";
  const Finished f = run({"train", (folder_.root() / "bad.yaml").string()});
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("3 problems"), std::string::npos) << f.err;
  EXPECT_NE(f.err.find("bad.yaml:2:1: lora_rnak"), std::string::npos) << f.err;
  EXPECT_NE(f.err.find("lora_rank"), std::string::npos) << f.err;
  EXPECT_NE(f.err.find("bad.yaml:4:"), std::string::npos) << f.err;
  EXPECT_NE(f.err.find("output_dir"), std::string::npos) << f.err;
}

TEST_F(Cli, SetOverridesAreCheckedToo) {
  const Finished f = run({"train", folder_.config(), "--set", "batch_size=none"});
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("--set"), std::string::npos) << f.err;
}

TEST_F(Cli, AMissingLanguageModelIsBadData) {
  std::ofstream(folder_.root() / "text.yaml")
      << "base_model: m.bin\ntask_type: text-generation\ntrain_data_dir: x\noutput_dir: y\n";
  const Finished f = run({"train", (folder_.root() / "text.yaml").string()});
  EXPECT_EQ(f.code, 3);
  EXPECT_NE(f.err.find("m.bin"), std::string::npos) << f.err;
}

TEST_F(Cli, AMissingModelIsBadData) {
  const Finished f = run({"train", folder_.lora_config(folder_.root() / "no_such.safetensors", 1)});
  EXPECT_EQ(f.code, 3);
  EXPECT_NE(f.err.find("no_such.safetensors"), std::string::npos) << f.err;
}

TEST_F(Cli, ABudgetThatIsTooSmallIsRefusedBeforeTheFirstStep) {
  const Finished f = run({"train", folder_.config(), "--set", "memory_budget=1MiB"});
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("needs"), std::string::npos) << f.err;
  EXPECT_NE(f.err.find("1.00 MiB"), std::string::npos) << f.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.out()));
}

TEST_F(Cli, ValidateListsEveryProblemByName) {
  EXPECT_EQ(run({"validate", folder_.config()}).code, 0);
  std::ofstream(folder_.pictures() / "p1.png") << "no picture";
  std::filesystem::remove(folder_.pictures() / "p2.png");
  const Finished f = run({"validate", folder_.config(), "--json"});
  EXPECT_EQ(f.code, 3);
  const json found = json::parse(f.out);
  EXPECT_FALSE(found["ok"].get<bool>());
  ASSERT_EQ(found["problems"].size(), 2U) << f.out;
  EXPECT_NE(f.out.find("p1.png"), std::string::npos);
  EXPECT_NE(f.out.find("p2.png"), std::string::npos);
  EXPECT_EQ(found["pictures"], 2);
  EXPECT_EQ(found["captions"]["too_long"].size(), 0U);
}

TEST_F(Cli, SchemaIsJson) {
  const Finished f = run({"schema"});
  EXPECT_EQ(f.code, 0);
  EXPECT_TRUE(json::parse(f.out)["properties"].contains("lora_rank"));
}

TEST_F(Cli, DoctorSaysWhatIsThere) {
  const json found = json::parse(run({"doctor", "--json"}).out);
  EXPECT_GE(found["cores"].get<int>(), 1);
  EXPECT_GT(found["memory_bytes"].get<std::uint64_t>(), found["memory_available_bytes"].get<std::uint64_t>());
  EXPECT_EQ(found["images"]["png"], "yes");
  EXPECT_NE(found["cuda"]["usable"].get<bool>(), !found["cuda"]["advice"].get<std::string>().empty());
}

TEST_F(Cli, CompletionKnowsEveryCommand) {
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const Finished f = run({"completion", shell});
    EXPECT_EQ(f.code, 0);
    for (const char* word : {"train", "sample", "inspect", "prompts"})
      EXPECT_NE(f.out.find(word), std::string::npos) << shell;
  }
  EXPECT_EQ(run({"completion", "csh"}).code, 2);
  const Finished bash = run({"completion", "bash"});
  std::ofstream(folder_.root() / "complete.sh") << bash.out;
  const std::string check = "bash -n " + (folder_.root() / "complete.sh").string();
  EXPECT_EQ(std::system(check.c_str()), 0);
}

TEST_F(Cli, InspectNamesWhatIsNoModel) {
  const Finished f = run({"inspect", (folder_.pictures() / "p0.png").string()});
  EXPECT_EQ(f.code, 3);
  EXPECT_NE(f.err.find("p0.png"), std::string::npos) << f.err;
}

}  // namespace
}  // namespace rankine
