// What a run leaves in metrics.jsonl and for TensorBoard.
#include "engine/train/run_recorder.h"

#include "io/image/encode.h"
#include "tests/train/train_fixture.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using namespace testing_support;

TEST(RunRecorder, WritesOneLinePerStep) {
  auto options = toy_train_options(fresh_folder("run"));
  options.max_steps = 9;
  ToyOptions toy;
  toy.bad_gradient = {3};
  RunRecorder recorder(options.run_dir / "metrics.jsonl", {});
  EventList list;
  struct Both : TrainObserver {
    RunRecorder& recorder;
    EventList& list;
    Both(RunRecorder& r, EventList& l) : recorder(r), list(l) {}
    void on_start(const RunStart& s) override { recorder.on_start(s); }
    void on_step(const StepRecord& r) override {
      recorder.on_step(r);
      list.on_step(r);
    }
  } both(recorder, list);
  run_toy(options, toy, 0, &both);
  const auto lines = read_metrics(options.run_dir / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 9U);
  const auto extra = [](const StepMetrics& m, const std::string& key) {
    for (const auto& [name, value] : m.extra) {
      if (name == key) return value;
    }
    return -1.0;
  };
  for (std::size_t i = 0; i < 9; ++i) {
    const StepMetrics& m = lines[i];
    const StepRecord& r = list.records[i];
    EXPECT_EQ(m.step, r.step);
    EXPECT_EQ(m.loss, r.loss);
    EXPECT_EQ(m.learning_rate, r.learning_rate);
    EXPECT_EQ(m.peak_memory_bytes, r.device_peak);
    EXPECT_GT(m.samples_per_second, 0);
    EXPECT_GT(extra(m, "host_peak_bytes"), 0);
    EXPECT_EQ(extra(m, "skipped"), i == 3 ? 1 : -1);
    EXPECT_EQ(extra(m, "validation_loss"), r.validation_loss.value_or(-1));
  }
  EXPECT_TRUE(lines[7].step == 8 && extra(lines[7], "validation_loss") > 0);
}

TEST(RunRecorder, PutsPreviewsUnderOneTag) {
  const fs::path root = fresh_folder("run");
  RunRecorder recorder(root / "metrics.jsonl", root / "events");
  recorder.on_start({});
  const Image image(2, 2, 200);
  write_png(root / "step-000010_00_fox.png", image);
  write_png(root / "grid.png", image);
  set_bytes(root / "text.txt", "no picture");
  recorder.on_preview(10, {root / "step-000010_00_fox.png", root / "grid.png", root / "text.txt"});
  recorder.on_before_save(10);
  const auto files = entries_of(root / "events");
  ASSERT_EQ(files.size(), 1U);
  const std::string events = bytes_of(root / "events" / files[0]);
  EXPECT_NE(events.find("samples/00_fox"), std::string::npos);
  EXPECT_NE(events.find("samples/grid"), std::string::npos);
  EXPECT_EQ(events.find("samples/text"), std::string::npos);
  EXPECT_EQ(events.find("step-000010"), std::string::npos);
}

}  // namespace
}  // namespace rankine
