// The search for settings that fit, over a made-up formula of memory.
#include "apps/rankine/nearest_settings.h"

#include <gtest/gtest.h>

namespace rankine::app {
namespace {

constexpr const char* kText =
    "base_model: m\ntask_type: text-generation\ntrain_data_dir: d\noutput_dir: o\nbatch_size: 8\n"
    "max_length: 4096\nlora_rank: 64\n";
constexpr const char* kPictures =
    "base_model: m\ntrain_data_dir: d\noutput_dir: o\nbatch_size: 6\ngradient_accumulation: 2\n"
    "resolution: [1024, 768]\nlora_rank: 8\n";

// Base, adapters, and something for every token or pixel.
std::size_t memory_of(const RunConfig& config, std::size_t base) {
  const bool text = config.model.task_type == config::TaskType::text_generation;
  const bool small = config.model.quantise_base == config::BaseQuantisation::nf4;
  const config::Resolution r = config.data.resolution.value_or(config::Resolution{});
  const std::int64_t each = text ? config.text.max_length : r.width * r.height / 256;
  return (small ? base / 4 : base) + 10 * static_cast<std::size_t>(config.adapter.lora_rank) +
         static_cast<std::size_t>(config.optim.batch_size * each);
}

class Nearest : public testing::Test {
 protected:
  std::vector<Settings> search(const char* yaml, std::size_t base, std::size_t budget) {
    plans = 0;
    PlanSearch s;
    s.config = parse_run_config(yaml, "run.yaml");
    s.with = [&](const Settings& settings) { return parse_run_config(yaml, "run.yaml", settings); };
    s.plan = [&](const RunConfig& config) {
      ++plans;
      RunPlan plan;
      plan.peak = memory_of(config, base);
      return plan;
    };
    s.budget = budget;
    std::vector<Settings> out;
    for (const Suggestion& found : nearest_settings(s)) {
      EXPECT_LE(found.plan.peak, budget);
      out.push_back(found.settings);
    }
    return out;
  }
  int plans = 0;
};

TEST_F(Nearest, EachLeverThatIsEnoughGivesItsMildestValue) {
  // 8 · 4096 + 640 + 10000 = 43408
  const auto found = search(kText, 10000, 41000);
  const std::vector<Settings> expected{
      {"batch_size=4", "gradient_accumulation=2"}, {"max_length=3584"}, {"quantise_base=nf4"}};
  EXPECT_EQ(found, expected);
}

TEST_F(Nearest, RankIsLastAndTheStepKeepsItsSamples) {
  const auto found = search(kPictures, 0, 18490);  // 6 · 3072 + 80 = 18512
  const std::vector<Settings> expected{
      {"batch_size=3", "gradient_accumulation=4"}, {"resolution=[896, 672]"}, {"lora_rank=4"}};
  EXPECT_EQ(found, expected);
}

TEST_F(Nearest, LeversAreJoinedWhereNoneIsEnoughAndEasedAgain) {
  // Even one sequence of the shortest length beside the whole base is too much, and so is nf4 with the batch.
  const auto found = search(kText, 20000, 16000);
  ASSERT_EQ(found.size(), 1U);
  // nf4: 5000 + 640, so 10360 are left: the length stays, the batch halves to 2.
  const Settings expected{"batch_size=2", "gradient_accumulation=4", "quantise_base=nf4"};
  EXPECT_EQ(found[0], expected);
  EXPECT_LT(plans, 40);
}

TEST_F(Nearest, NothingIsSaidWhereNothingFits) {
  EXPECT_TRUE(search(kText, 100000, 20000).empty());
  EXPECT_NE(suggestions_text({}).find("nor all of them"), std::string::npos);
}

TEST_F(Nearest, SettingsThatAreRefusedDoNotCount) {
  // A shortest side given by the user stands above every smaller resolution.
  const std::string yaml = std::string(kPictures) + "min_bucket_side: 768\nlora_conv_rank: 0\n";
  for (const Settings& s : search(yaml.c_str(), 0, 18000))
    EXPECT_EQ(s.at(0).find("resolution"), std::string::npos);
}

TEST_F(Nearest, TextSaysWhatToSet) {
  Suggestion s{{"batch_size=2", "gradient_accumulation=4"}, {}};
  s.plan.peak = std::size_t{3} << 30;
  s.plan.seconds = 0.25;
  const std::string text = suggestions_text({s});
  EXPECT_NE(text.find("3.00 GiB  batch_size=2  gradient_accumulation=4  (0.25 s a step)"), std::string::npos)
      << text;
}

}  // namespace
}  // namespace rankine::app
