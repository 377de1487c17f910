// Memory options of a run change how long it takes and what it holds, and nothing else.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/apps/process.h"
#include "tests/apps/tiny_run.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using Json = nlohmann::json;

bool has_page_files(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".rankine-pages")) return true;
  }
  return false;
}

class CliMemory : public ::testing::Test {
 protected:
  // A run with more settings after its own, from nothing; its printed JSON.
  Json trained(std::vector<std::string> args, const std::vector<std::string>& settings,
               const fs::path& folder) {
    args.insert(args.begin(), "train");
    args.insert(args.end(), {"--json", "--overwrite"});
    for (const std::string& s : settings) args.insert(args.end(), {"--set", s});
    const Finished f = rankine_run(args, folder);
    EXPECT_EQ(f.code, 0) << f.err;
    return f.code == 0 ? Json::parse(f.out) : Json();
  }
  Json planned(std::vector<std::string> args, const std::vector<std::string>& settings,
               const fs::path& folder) {
    args.insert(args.begin(), "plan");
    args.emplace_back("--json");
    for (const std::string& s : settings) args.insert(args.end(), {"--set", s});
    const Finished f = rankine_run(args, folder);
    EXPECT_TRUE(f.code == 0 || f.code == 2) << f.err;
    return Json::parse(f.out);
  }
};

const std::vector<std::vector<std::string>> kOptions{{"recompute=always", "paging=never"},
                                                     {"paging=always", "recompute=never"},
                                                     {"recompute=always", "paging=always"}};

TEST_F(CliMemory, PicturesEndInTheSameBytesUnderEveryOptionAndBudget) {
  const TinyRun tiny("memory_pictures", 1);
  ASSERT_EQ(rankine_run({"train", tiny.config()}, tiny.root()).code, 0);
  const std::string config = tiny.lora_config(tiny.out() / "model.safetensors", 3);
  const fs::path out = tiny.root() / "lora", result = out / "adapter.safetensors";
  const Json free = trained({config}, {"sample_steps=0"}, tiny.root());
  const std::string bytes = file_text(result);
  EXPECT_EQ(free["planned_peak_bytes"], free["measured_peak_bytes"]);
  for (const auto& options : kOptions) {
    SCOPED_TRACE(options[0] + " " + options[1]);
    const Json run = trained({config}, options, tiny.root());
    EXPECT_TRUE(file_text(result) == bytes);
    EXPECT_EQ(run["planned_peak_bytes"], run["measured_peak_bytes"]);
    EXPECT_FALSE(has_page_files(out));
  }
  const auto peak = free["planned_peak_bytes"].get<std::uint64_t>();
  const auto minimum =
      planned({config}, {"memory_budget=1KiB"}, tiny.root())["minimum_bytes"].get<std::uint64_t>();
  EXPECT_LE(minimum, peak);
  for (const std::uint64_t budget : {minimum + (peak - minimum) / 2, minimum}) {
    const std::string setting = "memory_budget=" + std::to_string((budget + 1023) / 1024) + "KiB";
    SCOPED_TRACE(setting);
    const Json run = trained({config}, {setting}, tiny.root());
    EXPECT_TRUE(file_text(result) == bytes);
    EXPECT_LE(run["measured_peak_bytes"].get<std::uint64_t>(), budget + 1023);
    EXPECT_EQ(run["planned_peak_bytes"], run["measured_peak_bytes"]);
  }
}

TEST_F(CliMemory, TextEndsInTheSameBytesUnderEveryOptionAndBudget) {
  const fs::path folder = fs::path(::testing::TempDir()) / "cli_memory_text", out = folder / "run";
  fs::current_path(RANKINE_SOURCE_DIR);
  fs::remove_all(folder);
  fs::create_directories(folder);
  const std::vector<std::string> run{"examples/medical-qa/train.yaml", "--set", "output_dir=" + out.string(),
                                     "--set", "max_steps=6"};
  const fs::path result = out / "adapter/adapter_model.safetensors";
  const Json free = trained(run, {}, folder);
  const std::string bytes = file_text(result);
  ASSERT_FALSE(bytes.empty());
  for (const auto& options : kOptions) {
    SCOPED_TRACE(options[0] + " " + options[1]);
    trained(run, options, folder);
    EXPECT_TRUE(file_text(result) == bytes);
    EXPECT_FALSE(has_page_files(out));
  }
  const Json least = planned(run, {"memory_budget=1KiB"}, folder);
  EXPECT_FALSE(least["fits"].get<bool>());
  const auto minimum = least["minimum_bytes"].get<std::uint64_t>();
  EXPECT_LT(minimum, free["planned_peak_bytes"].get<std::uint64_t>());
  const Json tight =
      trained(run, {"memory_budget=" + std::to_string((minimum + 1023) / 1024) + "KiB"}, folder);
  EXPECT_TRUE(file_text(result) == bytes);
  EXPECT_LE(tight["measured_peak_bytes"].get<std::uint64_t>(), minimum + 1023);
}

TEST_F(CliMemory, ARunKilledWhilePagingLeavesNothingAndGoesOn) {
  constexpr int kSteps = 12;
  const TinyRun whole("memory_whole", 1), broken("memory_broken", 1);
  for (const TinyRun* tiny : {&whole, &broken})
    ASSERT_EQ(rankine_run({"train", tiny->config()}, tiny->root()).code, 0);
  const auto args = [&](const TinyRun& tiny) {
    return std::vector<std::string>{"train",    tiny.lora_config(tiny.out() / "model.safetensors", kSteps),
                                    "--set",    "paging=always",
                                    "--set",    "save_steps=2",
                                    "--set",    "sample_steps=0",
                                    "--resume", "auto"};
  };
  ASSERT_EQ(rankine_run(args(whole), whole.root()).code, 0);
  const fs::path metrics = broken.root() / "lora/metrics.jsonl";
  {
    Process process(args(broken), broken.root());
    const auto steps = [&] {
      const std::string text = file_text(metrics);
      return std::count(text.begin(), text.end(), '\n');
    };
    while (process.running() && steps() < 5) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    process.send(SIGKILL);
    EXPECT_EQ(process.wait().code, 1000 + SIGKILL);
  }
  ASSERT_EQ(rankine_run(args(broken), broken.root()).code, 0);
  EXPECT_FALSE(has_page_files(broken.root() / "lora"));
  EXPECT_TRUE(file_text(whole.root() / "lora/adapter.safetensors") ==
              file_text(broken.root() / "lora/adapter.safetensors"));
}

}  // namespace
}  // namespace rankine
