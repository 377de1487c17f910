// The loop: what happens when, what is skipped, when it stops.
#include <cmath>

#include "engine/train/train_state.h"
#include "io/formats/safetensors.h"
#include "tests/train/train_fixture.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;

// One run that never resumes.
TrainResult train(const TrainOptions& options, const ToyOptions& toy, EventList& list) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task(toy);
  Trainer trainer(Context(runtime), task, options);
  trainer.observe(list);
  const std::atomic<bool> stop{false};
  return trainer.run(stop);
}

TEST(Trainer, LearnsTheFunction) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 400;
  options.save_steps = 0;
  EventList list;
  const TrainResult result = train(options, {}, list);
  EXPECT_EQ(result.outcome, Outcome::finished);
  EXPECT_EQ(result.steps, 400);
  ASSERT_EQ(result.losses.size(), 400U);
  EXPECT_GT(*result.first_validation, 0.5);
  EXPECT_LT(*result.last_validation, 0.02 * *result.first_validation);
  EXPECT_GT(result.device_peak, 0U);
  EXPECT_GT(result.host_peak, 0U);
}

TEST(Trainer, DoesEachThingWhenItIsDue) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 5;
  options.save_steps = 2;
  options.preview_steps = 4;
  options.validation_steps = 3;
  EventList list;
  const TrainResult result = train(options, {}, list);
  const std::vector<std::string> expected = {"start 0",       "validation 0",  "preview 0", "step 1",
                                             "step 2",        "before save 2", "save 2",    "validation 3",
                                             "step 3",        "step 4",        "preview 4", "before save 4",
                                             "save 4",        "validation 5",  "step 5",    "preview 5",
                                             "before save 5", "save 5",        "finish"};
  EXPECT_EQ(list.events, expected);
  EXPECT_TRUE(list.warnings.empty());
  EXPECT_FALSE(list.records[1].validation_loss.has_value());
  EXPECT_TRUE(list.records[2].validation_loss.has_value());
  EXPECT_EQ(list.records[4].samples, 8);
  EXPECT_DOUBLE_EQ(list.records[4].epoch, 0.5);
  EXPECT_EQ(list.records[0].learning_rate, 0.0);  // the first step of a warm-up
  EXPECT_DOUBLE_EQ(list.records[1].learning_rate, 1e-2 / 3);
  EXPECT_EQ(result.result, options.run_dir / kResult);
  EXPECT_EQ(result.checkpoint, options.run_dir / "checkpoints" / "step-000005");
  const std::vector<std::string> left = {"checkpoints", "samples", kResult};
  EXPECT_EQ(entries_of(options.run_dir), left);
  EXPECT_EQ(entries_of(options.run_dir / "samples").size(), 3U);
}

TEST(Trainer, IntervalsOfZeroMeanBeforeAndAfter) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 3;
  options.save_steps = options.validation_steps = 0;
  EventList list;
  train(options, {}, list);
  const std::vector<std::string> expected = {"start 0",       "validation 0", "preview 0", "step 1",
                                             "step 2",        "validation 3", "step 3",    "preview 3",
                                             "before save 3", "save 3",       "finish"};
  EXPECT_EQ(list.events, expected);
}

TEST(Trainer, ResultSaysHowItWasMade) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 5;
  EventList list;
  const TrainResult result = train(options, {}, list);
  const SafetensorsFile file(result.result);
  EXPECT_EQ(file.metadata().at("steps"), "5");
  EXPECT_EQ(file.metadata().at("epoch"), "0.5");
}

TEST(Trainer, ResultMayBeAFolderAndReplacesAnOlderOne) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 3;
  options.result_name = "adapter";
  fs::create_directories(options.run_dir / "adapter" / "stale");
  ToyOptions toy;
  toy.result_is_folder = true;
  EventList list;
  train(options, toy, list);
  const std::vector<std::string> expected = {"inner", "model.safetensors"},
                                 around = {"adapter", "checkpoints", "samples"};
  EXPECT_EQ(entries_of(options.run_dir / "adapter"), expected);
  EXPECT_EQ(entries_of(options.run_dir), around);
  EXPECT_EQ(verify_checkpoint(options.run_dir / "checkpoints" / "step-000003").commit.step, 3);
}

TEST(Trainer, AverageIsWhatUsersGet) {
  auto options = toy_train_options(fresh_folder("run"));
  options.ema_decay = 0.9;
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task;
  Trainer trainer(Context(runtime), task, options);
  const std::atomic<bool> stop{false};
  const TrainResult result = trainer.run(stop);
  const SafetensorsFile file(result.result);
  std::vector<float> saved(file.at("w1").numel());
  read_as_float(file.at("w1"), saved);
  const Tensor& average = trainer.state().ema()->average();
  EXPECT_EQ(saved, std::vector<float>(average.data<float>(), average.data<float>() + saved.size()));
  const Tensor& raw = std::as_const(trainer.state().arena()).value();
  EXPECT_NE(saved, std::vector<float>(raw.data<float>(), raw.data<float>() + saved.size()));
}

// Steps that are not finite leave no trace but the counters: dropping them from the data gives the same
// parameters.
TEST(Trainer, BadStepsChangeNothing) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyOptions toy;
  toy.bad_gradient = {1, 4};
  toy.bad_loss = {2};
  ToyTask task(toy), clean;
  Context c(runtime);
  TrainState bad(c, task, {}, 0.9), good(c, clean, {}, 0.9);
  const LrSchedule schedule({config::LrScheduler::linear, 1e-2, 0, 10, 1, 1});
  for (std::int64_t step = 0; step < 6; ++step) {
    const auto before =
        std::vector<float>(bad.arena().value().data<float>(), bad.arena().value().data<float>() + 30);
    const std::int64_t updates = bad.counters().updates;
    const Tensor& ema = bad.ema()->average();
    const std::vector<float> average(ema.data<float>(), ema.data<float>() + 30);
    const UpdateReport report = bad.update(c, task, schedule.at(updates), 1.0);
    const bool skipped = step == 1 || step == 2 || step == 4;
    EXPECT_EQ(report.skipped, skipped) << step;
    EXPECT_EQ(bad.counters().updates, updates + (skipped ? 0 : 1));
    EXPECT_EQ(average == std::vector<float>(ema.data<float>(), ema.data<float>() + 30), skipped);
    const auto after =
        std::vector<float>(bad.arena().value().data<float>(), bad.arena().value().data<float>() + 30);
    EXPECT_EQ(before == after, skipped);
  }
  EXPECT_EQ(bad.counters().step, 6);
  EXPECT_EQ(bad.counters().skipped, 3);
  EXPECT_EQ(bad.counters().bad_streak, 0);
  EXPECT_EQ(schedule.at(bad.counters().updates), schedule.at(3));
}

TEST(Trainer, ReportsSkippedSteps) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 6;
  ToyOptions toy;
  toy.bad_gradient = {2};
  EventList list;
  const TrainResult result = train(options, toy, list);
  EXPECT_EQ(result.skipped, 1);
  EXPECT_TRUE(list.records[2].skipped);
  EXPECT_TRUE(std::isnan(list.records[2].grad_norm));
  EXPECT_NE(std::find(list.events.begin(), list.events.end(), "skip 3"), list.events.end());
}

// What a run that diverges says; empty where it does not.
std::string divergence(const TrainOptions& options, const ToyOptions& toy) {
  EventList list;
  try {
    train(options, toy, list);
  } catch (const Diverged& e) {
    return e.what();
  }
  return "";
}

TEST(Trainer, DivergesAfter25BadStepsInARow) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 100;
  options.keep_checkpoints = 0;
  ToyOptions toy;
  for (std::int64_t step = 3; step < 27; ++step) toy.bad_gradient.insert(step);  // 24: not yet
  for (std::int64_t step = 28; step < 100; ++step) toy.bad_gradient.insert(step);
  const std::string message = divergence(options, toy);
  EXPECT_NE(message.find("step 53"), std::string::npos) << message;  // 28 + 25
  EXPECT_NE(message.find("25 steps in a row"), std::string::npos) << message;
  EXPECT_NE(message.find("step-000050"), std::string::npos) << message;
  EXPECT_NE(message.find("learning_rate"), std::string::npos) << message;
  const Checkpoint last = verify_checkpoint(options.run_dir / "checkpoints" / "step-000050");
  EXPECT_EQ(last.commit.step, 50);
  EXPECT_FALSE(fs::exists(options.run_dir / kResult));
}

TEST(Trainer, DivergenceNamesTheTasksReasonInsteadOfTheLearningRate) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 100;
  ToyOptions toy;
  for (std::int64_t step = 0; step < 25; ++step) toy.bad_loss.insert(step);
  toy.why_not_finite = "the data is broken";
  const std::string message = divergence(options, toy);
  EXPECT_NE(message.find("the data is broken in step 24"), std::string::npos) << message;
  EXPECT_EQ(message.find("learning_rate"), std::string::npos) << message;
}

TEST(Trainer, StopSavesAndSaysSo) {
  auto options = toy_train_options(fresh_folder("run"));
  const ToyRun run = run_toy(options, {}, 7);
  EXPECT_EQ(run.result.outcome, Outcome::stopped);
  EXPECT_EQ(run.result.steps, 7);
  EXPECT_EQ(run.result.checkpoint, options.run_dir / "checkpoints" / "step-000007");
  EXPECT_EQ(verify_checkpoint(run.result.checkpoint).commit.step, 7);
  EXPECT_TRUE(run.result.result.empty());
  EXPECT_FALSE(fs::exists(options.run_dir / kResult));
}

TEST(Trainer, StopBeforeTheFirstStepStillLeavesACheckpoint) {
  auto options = toy_train_options(fresh_folder("run"));
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  ToyTask task;
  Trainer trainer(Context(runtime), task, options);
  EventList list;
  trainer.observe(list);
  const std::atomic<bool> stop{true};
  EXPECT_EQ(trainer.run(stop).outcome, Outcome::stopped);
  EXPECT_EQ(list.events, (std::vector<std::string>{"start 0", "before save 0", "save 0", "finish"}));
  EXPECT_EQ(verify_checkpoint(options.run_dir / "checkpoints" / "step-000000").commit.step, 0);
  EventList resumed;
  run_toy(options, {}, 1, &resumed);
  EXPECT_EQ(resumed.events, (std::vector<std::string>{"start 0", "validation 0", "preview 0", "step 1",
                                                      "before save 1", "save 1", "finish"}));
}

// A stop does not wait for previews; the resumed run makes up for them, also when no step is left.
TEST(Trainer, AnInterruptedPreviewIsMadeUpFor) {
  auto options = toy_train_options(fresh_folder("run"));
  options.preview_steps = 4;
  options.ema_decay = 0.9;
  for (const std::int64_t step : {4, 24}) {
    SCOPED_TRACE(step);
    EventList stopped, resumed;
    const ToyRun first = run_toy(options, {}, step, &stopped);
    EXPECT_EQ(first.result.outcome, Outcome::stopped);
    EXPECT_TRUE(first.result.result.empty());
    const std::string number = std::to_string(step);
    EXPECT_EQ(stopped.events.end()[-4], "step " + number) << "no preview between step and save";
    EXPECT_TRUE(verify_checkpoint(first.result.checkpoint).commit.unfinished);

    const ToyRun second = run_toy(options, {}, step + 1, &resumed);  // never reached after the last step
    EXPECT_EQ(resumed.events[0], "start " + number);
    EXPECT_NE(std::find(resumed.events.begin(), resumed.events.end(), "preview " + number),
              resumed.events.end());
    EXPECT_FALSE(verify_checkpoint(second.result.checkpoint).commit.unfinished);
    EXPECT_EQ(second.result.outcome, step == 24 ? Outcome::finished : Outcome::stopped);
  }
  EventList again;
  const ToyRun last = run_toy(options, {}, 0, &again);
  EXPECT_EQ(again.events, (std::vector<std::string>{"start 24", "finish"})) << "nothing is left to do";
  auto whole = options;
  whole.run_dir = fresh_folder("whole");
  EXPECT_EQ(bytes_of(last.result.result), bytes_of(run_toy(whole).result.result));
}

TEST(Trainer, RefusesOptionsOutOfRange) {
  Runtime runtime(Device::cpu(), Memory::kUnlimited, 1);
  const auto refused = [&](const std::function<void(TrainOptions&)>& change) {
    ToyTask task;
    TrainOptions options = toy_train_options(fresh_folder("run"));
    change(options);
    EXPECT_THROW(Trainer(Context(runtime), task, options), ConfigError);
  };
  refused([](TrainOptions& o) { o.max_steps = 0; });
  refused([](TrainOptions& o) { o.save_steps = -1; });
  refused([](TrainOptions& o) { o.keep_checkpoints = -1; });
  refused([](TrainOptions& o) { o.max_grad_norm = -1; });
  refused([](TrainOptions& o) { o.ema_decay = 1; });
  refused([](TrainOptions& o) { o.schedule.warmup_steps = 25; });
  for (const char* name : {"", "a/b", "..", ".hidden", "state.safetensors", "commit.json", "samples"}) {
    refused([&](TrainOptions& o) { o.result_name = name; });
  }
}

// A planned step touches no data and reaches the peak of a real one.
TEST(Trainer, PlannedUpdateForecastsThePeak) {
  const auto peak_of = [](Device device) {
    Runtime runtime(device, Memory::kUnlimited, 1);
    Context c(runtime);
    ToyTask task;
    TrainState state(c, task, {}, 0.9);
    state.update(c, task, 1e-3, 1.0);
    return runtime.memory().high_water();
  };
  EXPECT_GT(peak_of(Device::cpu()), 0U);
  EXPECT_EQ(peak_of(Device::cpu().planned()), peak_of(Device::cpu()));
}

}  // namespace
}  // namespace rankine
