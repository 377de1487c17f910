// `rankine plan`: cards that are not here, models of which only the sizes are known, and what to change.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/apps/process.h"
#include "tests/apps/tiny_run.h"

namespace rankine {
namespace {
using nlohmann::json;

class CliPlan : public testing::Test {
 protected:
  Finished run(const std::vector<std::string>& args) const { return rankine_run(args, folder_.root()); }
  // The plan as JSON; exit code 0 for one that fits, 2 for one that does not.
  json plan(std::vector<std::string> args, int code = 0) const {
    args.insert(args.begin(), "plan");
    args.emplace_back("--json");
    const Finished f = run(args);
    EXPECT_EQ(f.code, code) << f.err;
    return f.out.empty() ? json() : json::parse(f.out);
  }
  std::string file(const std::string& name, const std::string& text) const {
    std::ofstream(folder_.root() / name) << text;
    return (folder_.root() / name).string();
  }
  // Adapters on the example's model in blocks; the rows need not be there.
  std::string text_config() const {
    return file("text.yaml",
                "task_type: text-generation\nbase_model: " RANKINE_SOURCE_DIR
                "/examples/medical-qa/base/medical-base.ggjtv3.q4_0.bin\ntrain_data_dir: none\noutput_dir: "
                "none\ntarget_modules: [all-linear]\nmax_length: 64\nbatch_size: 2\nthreads: 2\n");
  }

  TinyRun folder_{std::string("plan_") + testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(CliPlan, AddsUpAndNeedsNoPictures) {
  const json with = plan({folder_.config(), "--gpu", "h200"});
  std::int64_t sum = 0;
  for (const auto& [name, bytes] : with["accounts"].items()) sum += bytes.get<std::int64_t>();
  EXPECT_EQ(with["peak_bytes"], sum);
  EXPECT_GT(with["flops"].get<double>(), 1e6);
  const double floor = std::max(with["flops"].get<double>() / 989e12, with["bytes"].get<double>() / 4800e9);
  EXPECT_DOUBLE_EQ(with["floor_seconds"], floor);
  EXPECT_GT(with["seconds"], floor);
  EXPECT_EQ(with["gpu"], "h200");
  EXPECT_TRUE(with["phases"].contains("previews"));
  EXPECT_FALSE(std::filesystem::exists(folder_.out())) << "a plan leaves nothing behind";

  const json larger = plan({folder_.config(), "--set", "batch_size=4", "--gpu", "h200"});
  EXPECT_GT(larger["peak_bytes"], with["peak_bytes"]);
  std::filesystem::remove_all(folder_.pictures());
  const json without = plan({folder_.config(), "--gpu", "h200"});
  EXPECT_DOUBLE_EQ(without["flops"], with["flops"]);
}

TEST_F(CliPlan, ACardDecidesOverTheDeviceOfTheRunFile) {
  const json card = plan({folder_.config(), "--gpu", "rtx4090", "--set", "compute_dtype=fp32"});
  EXPECT_EQ(card["device"], "cuda");
  EXPECT_EQ(card["activations"], "f16");
  EXPECT_EQ(card["budget_bytes"], std::int64_t{23} << 30);
  EXPECT_EQ(card["gpu_memory_bytes"], std::int64_t{24} << 30);
  EXPECT_TRUE(card["fits"].get<bool>());
  EXPECT_TRUE(card["suggestions"].empty());
  EXPECT_EQ(plan({folder_.config(), "--gpu", "rtx4090", "--set", "compute_dtype=bf16"})["activations"],
            "bf16");
  const json cpu = plan({folder_.config(), "--gpu", "cpu", "--set", "device=cuda:0"});
  EXPECT_EQ(cpu["device"], "cpu");
  EXPECT_EQ(cpu["activations"], "f32");
  EXPECT_GT(cpu["gpu_file_bytes_per_second"], 0);
}

TEST_F(CliPlan, UnknownCardsAreNamedWithTheKnownOnes) {
  const Finished f = run({"plan", folder_.config(), "--gpu", "gtx9"});
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("rtx4090"), std::string::npos) << f.err;
}

TEST_F(CliPlan, ACardMayBeDescribedInAFile) {
  const std::string rates =
      "flops_per_second: 1e10\nbytes_per_second: 1e11\nlink_bytes_per_second: 1e10\n"
      "file_bytes_per_second: 1e9\n";
  const std::string slow = file("slow.yaml", "memory: 4GiB\nreserved_memory: 1GiB\n" + rates);
  const json plan_of_slow = plan({folder_.config(), "--gpu", slow});
  EXPECT_EQ(plan_of_slow["gpu"], "slow");
  EXPECT_EQ(plan_of_slow["budget_bytes"], std::int64_t{3} << 30);
  // Operations take one after the other what the floor takes side by side.
  EXPECT_GE(plan_of_slow["seconds"], plan_of_slow["floor_seconds"]);
  EXPECT_GE(plan_of_slow["floor_seconds"], plan_of_slow["flops"].get<double>() / 1e10);

  const Finished f =
      run({"plan", folder_.config(), "--gpu", file("bad.yaml", rates + "memory: 24\nlunch: 1\n")});
  EXPECT_EQ(f.code, 2);
  EXPECT_NE(f.err.find("bad.yaml:5:9: memory"), std::string::npos) << f.err;
  EXPECT_NE(f.err.find("bad.yaml:6:1: lunch"), std::string::npos) << f.err;
}

TEST_F(CliPlan, WhatDoesNotFitComesWithSettingsThatDo) {
  // Below what the run needs with everything paged and recomputed.
  const json least = plan({folder_.config(), "--gpu", "rtx4090", "--set", "memory_budget=1KiB"}, 2);
  const std::string budget =
      "memory_budget=" + std::to_string(least["minimum_bytes"].get<std::int64_t>() * 98 / 100 / 1024) + "KiB";
  const json f = plan({folder_.config(), "--gpu", "rtx4090", "--set", budget}, 2);
  EXPECT_FALSE(f["fits"].get<bool>());
  ASSERT_FALSE(f["suggestions"].empty()) << f.dump(2);
  for (const json& suggestion : f["suggestions"]) {
    std::vector<std::string> args{folder_.config(), "--gpu", "rtx4090", "--set", budget};
    for (const json& setting : suggestion["settings"]) {
      args.emplace_back("--set");
      args.push_back(setting);
    }
    const json again = plan(args);
    EXPECT_EQ(again["peak_bytes"], suggestion["peak_bytes"]) << suggestion.dump();
    EXPECT_LE(again["peak_bytes"], f["budget_bytes"]);
  }
  const Finished text = run({"plan", folder_.config(), "--gpu", "rtx4090", "--set", budget});
  EXPECT_EQ(text.code, 2);
  EXPECT_NE(text.out.find("Does not fit"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("batch_size=1"), std::string::npos) << text.out;
  const Finished refused = run({"train", folder_.config(), "--set", "memory_budget=1MiB"});
  EXPECT_NE(refused.err.find("nor all of them"), std::string::npos) << refused.err;
}

// GFLOP of one step, counted by hand for rank 16 beside all linears of attention: shapes by their papers.
TEST_F(CliPlan, PublishedShapesCostWhatTheyShould) {
  const json sd = plan({"--shape", "sd15", "--gpu", "rtx4090", "--set", "lora_rank=16"});
  EXPECT_NEAR(sd["flops"].get<double>(), 1.79e12, 0.1 * 1.79e12);
  EXPECT_NEAR(sd["floor_seconds"].get<double>(), 0.0108, 0.1 * 0.0108);
  const json llama = plan({"--shape", "llama7b", "--gpu", "rtx4090", "--set", "lora_rank=16"});
  EXPECT_NEAR(llama["flops"].get<double>(), 1024 * 27.6e9, 0.1 * 1024 * 27.6e9);
  EXPECT_NEAR(llama["floor_seconds"].get<double>(), 1024 / 5984.0, 0.1 * 1024 / 5984.0);
  EXPECT_EQ(llama["buckets"][0]["tokens"], 1024);
  const json nf4 = plan({"--shape", "llama7b", "--gpu", "rtx4090", "--set", "quantise_base=nf4"});
  EXPECT_LT(nf4["accounts"]["weights"].get<double>(), 0.4 * llama["accounts"]["weights"].get<double>());
}

TEST_F(CliPlan, ShapesAreForPlansAlone) {
  const Finished unknown = run({"plan", "--shape", "sd16"});
  EXPECT_EQ(unknown.code, 2);
  EXPECT_NE(unknown.err.find("llama13b"), std::string::npos) << unknown.err;
  EXPECT_EQ(run({"plan"}).code, 2);
  const Finished train = run(
      {"train", file("shape.yaml", "base_model: shape:sd15\ntrain_data_dir: " + folder_.pictures().string() +
                                       "\noutput_dir: " + folder_.out().string() + "\n")});
  EXPECT_EQ(train.code, 2);
  EXPECT_NE(train.err.find("plan alone"), std::string::npos) << train.err;
  EXPECT_FALSE(std::filesystem::exists(folder_.out()));
  // With pictures: their sizes.
  const json with = plan({folder_.root() / "shape.yaml", "--gpu", "rtx4090", "--set", "resolution=64",
                          "--set", "min_bucket_side=64"});
  EXPECT_GT(with["buckets"][0]["visits_per_epoch"], 0);
}

// One limit of the host's memory for pages and streamed weights together; the rest goes to files.
TEST_F(CliPlan, PagesAndStreamedWeightsShareTheMemoryOfTheHost) {
  const json policy =
      plan({"--shape", "llama1b", "--gpu", "rtx4090", "--set", "memory_budget=800MiB", "--set",
            "page_memory=256MiB", "--set", "paging=always", "--set", "weight_streaming=always"})["policy"];
  const auto bytes = [&](const char* key) { return policy[key].get<std::int64_t>(); };
  EXPECT_LE(bytes("host_page_bytes") + bytes("host_weight_bytes"), std::int64_t{256} << 20);
  EXPECT_GT(bytes("file_page_bytes"), 0);
  EXPECT_GT(bytes("file_weight_bytes"), 0);
}

// The same numbers in every build, with and without CUDA and its emulator: no allocation and no cost of a
// plan may depend on what the build can run. Change them with what they count.
TEST_F(CliPlan, EveryBuildPlansTheSame) {
  struct Expected {
    std::string config;
    double peak, flops, bytes, seconds;
  };
  for (const Expected& e : {Expected{folder_.config(), 23809024, 1118027622, 77542024, 0.0012694626280615046},
                            Expected{text_config(), 6744640, 590042240, 24754184, 0.0004159065025252514}}) {
    const json p = plan({e.config, "--gpu", "rtx4090"});
    constexpr double kRounding = 1e-9;  // sums of doubles
    EXPECT_EQ(p["peak_bytes"].get<double>(), e.peak) << e.config << ' ' << p["peak_bytes"];
    EXPECT_NEAR(p["flops"].get<double>() / e.flops, 1, kRounding) << e.config << ' ' << p["flops"];
    EXPECT_NEAR(p["bytes"].get<double>() / e.bytes, 1, kRounding) << e.config << ' ' << p["bytes"];
    EXPECT_NEAR(p["seconds"].get<double>() / e.seconds, 1, kRounding) << e.config << ' ' << p["seconds"];
  }
}

}  // namespace
}  // namespace rankine
