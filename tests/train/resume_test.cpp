// A run that was stopped and resumed ends in the same bytes as one that never was.
#include "engine/train/run_recorder.h"
#include "io/record/metrics_log.h"
#include "tests/train/train_fixture.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;

struct Variant {
  const char* name;
  double ema_decay;
  std::int64_t accumulation;
  bool bad_steps;
};

class ResumeTest : public ::testing::TestWithParam<Variant> {};

TEST_P(ResumeTest, EndsInTheSameBytes) {
  const Variant& v = GetParam();
  ToyOptions toy;
  toy.accumulation = v.accumulation;
  if (v.bad_steps) toy.bad_gradient = {3, 9, 10, 17};
  auto whole = toy_train_options(fresh_folder("whole"));
  whole.ema_decay = v.ema_decay;
  whole.save_steps = 12;
  const ToyRun uninterrupted = run_toy(whole, toy);
  const std::string expected = bytes_of(uninterrupted.result.result);

  for (const std::vector<std::int64_t>& stops : {std::vector<std::int64_t>{1}, {11}, {2, 12, 23}}) {
    auto options = whole;
    options.run_dir = fresh_folder("stopped");
    for (const std::int64_t stop : stops)
      EXPECT_EQ(run_toy(options, toy, stop).result.outcome, Outcome::stopped);
    const ToyRun resumed = run_toy(options, toy);
    EXPECT_EQ(resumed.result.first_step, stops.back());
    EXPECT_EQ(resumed.result.outcome, Outcome::finished);
    EXPECT_EQ(resumed.result.skipped, uninterrupted.result.skipped);
    EXPECT_EQ(resumed.values, uninterrupted.values);
    EXPECT_EQ(bytes_of(resumed.result.result), expected);
    EXPECT_EQ(bytes_of(resumed.result.checkpoint / "state.safetensors"),
              bytes_of(uninterrupted.result.checkpoint / "state.safetensors"));
  }
}

INSTANTIATE_TEST_SUITE_P(Variants, ResumeTest,
                         ::testing::Values(Variant{"plain", 0, 1, false}, Variant{"ema", 0.95, 1, false},
                                           Variant{"all", 0.95, 3, true}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Resume, OfAFinishedRunPublishesTheResultAgain) {
  const auto options = toy_train_options(fresh_folder("run"));
  const std::string expected = bytes_of(run_toy(options).result.result);
  fs::remove(options.run_dir / kResult);
  const ToyRun again = run_toy(options);
  EXPECT_EQ(again.result.first_step, 24);
  EXPECT_TRUE(again.result.losses.empty());
  EXPECT_EQ(bytes_of(again.result.result), expected);
}

TEST(Resume, FromANamedCheckpoint) {
  auto options = toy_train_options(fresh_folder("run"));
  options.keep_checkpoints = 0;
  const std::string expected = bytes_of(run_toy(options).result.result);
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task;
  Trainer trainer(Context(runtime), task, options);
  trainer.resume(options.run_dir / "checkpoints" / "step-000010");
  EXPECT_EQ(trainer.step(), 10);
  const std::atomic<bool> stop{false};
  EXPECT_EQ(bytes_of(trainer.run(stop).result), expected);
  EXPECT_EQ(entries_of(options.run_dir / "checkpoints").size(),
            5U);  // 5, 10, 15, 20, 24: the later ones replaced
}

TEST(Resume, WithoutACheckpointStartsFresh) {
  const auto options = toy_train_options(fresh_folder("run"));
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task;
  Trainer trainer(Context(runtime), task, options);
  EXPECT_FALSE(trainer.resume_latest());
  EXPECT_EQ(trainer.step(), 0);
  EXPECT_THROW(trainer.resume(options.run_dir / "checkpoints" / "step-000010"), DataError);
}

std::string message_of_resume(const TrainOptions& options, const ToyOptions& toy) {
  try {
    run_toy(options, toy);
  } catch (const DataError& e) {
    return e.what();
  }
  return "resumed";
}

TEST(Resume, OfAnotherRunNamesWhatDiffers) {
  auto options = toy_train_options(fresh_folder("run"));
  run_toy(options, {}, 5);
  ToyOptions toy;
  toy.batch = 4;
  toy.extra_fact = "flip: yes\n";
  options.seed = 8;
  options.adamw.weight_decay = 0.5;
  const std::string message = message_of_resume(options, toy);
  for (const char* part :
       {"step-000005", "batch_size: the checkpoint has 8, this run has 4", "flip: is only in this run (yes)",
        "seed: the checkpoint has 7, this run has 8",
        "optimizer: the checkpoint has adamw beta1=0.9 beta2=0.999 eps=1e-08 weight_decay=0.01, "}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << "\nis not in:\n" << message;
  }
  EXPECT_EQ(message.find("accumulation"), std::string::npos) << message;
}

TEST(Resume, OfOtherParametersNamesThem) {
  const auto options = toy_train_options(fresh_folder("run"));
  run_toy(options, {}, 5);
  ToyOptions toy;
  toy.width = 8;
  EXPECT_NE(message_of_resume(options, toy).find("parameters: the checkpoint has 4 tensors, 161 numbers"),
            std::string::npos);
}

TEST(Resume, MoreStepsAreAllowedWhenTheRateDoesNotDependOnThem) {
  auto options = toy_train_options(fresh_folder("run"));
  options.schedule.kind = config::LrScheduler::constant;
  auto longer = options;
  longer.max_steps = 30;
  longer.run_dir = fresh_folder("longer");
  run_toy(options);
  longer.run_dir = options.run_dir;
  const ToyRun extended = run_toy(longer);
  EXPECT_EQ(extended.result.first_step, 24);
  longer.run_dir = fresh_folder("longer");
  EXPECT_EQ(bytes_of(extended.result.result), bytes_of(run_toy(longer).result.result));
  EXPECT_NE(message_of_resume(
                [&] {
                  auto shorter = options;
                  shorter.max_steps = 10;
                  return shorter;
                }(),
                {})
                .find("this run ends after 10"),
            std::string::npos);
}

// A crash after the last checkpoint: the log knows steps that the resumed run makes again.
TEST(Resume, MetricsHoldEveryStepOnce) {
  auto options = toy_train_options(fresh_folder("run"));
  struct Crash {};
  struct Crasher : TrainObserver {
    void on_step(const StepRecord& r) override {
      if (r.step == 13) throw Crash();
    }
  } crasher;
  const fs::path file = options.run_dir / "metrics.jsonl";
  {
    RunRecorder recorder(file, options.run_dir / "events");
    Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
    ToyTask task;
    Trainer trainer(Context(runtime), task, options);
    trainer.observe(recorder);
    trainer.observe(crasher);
    const std::atomic<bool> stop{false};
    EXPECT_THROW(trainer.run(stop), Crash);
  }
  EXPECT_EQ(read_metrics(file).size(), 13U);
  RunRecorder recorder(file, options.run_dir / "events");
  EXPECT_EQ(run_toy(options, {}, 0, &recorder).result.first_step, 10);
  const std::vector<StepMetrics> all = read_metrics(file);
  ASSERT_EQ(all.size(), 24U);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i].step, static_cast<std::int64_t>(i) + 1);
  EXPECT_EQ(entries_of(options.run_dir / "events").size(), 2U);
}

}  // namespace
}  // namespace rankine
