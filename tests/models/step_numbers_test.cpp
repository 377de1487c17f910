// What a run says of its memory, step by step: bytes are those that went to the disk and came back, and once
// every shape was seen nothing grows.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>

#include "engine/train/run_recorder.h"
#include "engine/train/trainer.h"
#include "io/image/encode.h"
#include "io/record/metrics_log.h"
#include "models/tasks/diffusion_task.h"
#include "models/tasks/text_task.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

// Counts what reaches the disk and comes from it. Called by several threads.
class CountedCalls final : public FileCalls {
 public:
  ssize_t write(int fd, const void* bytes, std::size_t count, off_t offset) override {
    return counted(out, FileCalls::write(fd, bytes, count, offset));
  }
  ssize_t read(int fd, void* bytes, std::size_t count, off_t offset) override {
    return counted(in, FileCalls::read(fd, bytes, count, offset));
  }
  std::atomic<std::uint64_t> out = 0, in = 0;

 private:
  static ssize_t counted(std::atomic<std::uint64_t>& sum, ssize_t done) {
    if (done > 0) sum += static_cast<std::uint64_t>(done);
    return done;
  }
};

// Keeps the records, with what the disk saw in each step.
class Notes final : public TrainObserver {
 public:
  struct Disk {
    std::uint64_t out = 0, in = 0;
  };
  explicit Notes(const CountedCalls& calls) : calls_(calls) {}
  void on_step(const StepRecord& r) override {
    records.push_back(r);
    disk.push_back({calls_.out - before_.out, calls_.in - before_.in});
    before_ = {calls_.out, calls_.in};
  }
  std::vector<StepRecord> records;
  std::vector<Disk> disk;

 private:
  const CountedCalls& calls_;
  Disk before_;
};

class StepNumbers : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::current_path(RANKINE_SOURCE_DIR);
    fs::create_directories(folder / "pictures");
    for (int i = 0; i < 8; ++i) {  // of two shapes
      const std::string name = "p" + std::to_string(i);
      const Image picture(i % 2 == 0 ? 64 : 96, i % 2 == 0 ? 64 : 48, static_cast<unsigned char>(20 * i));
      write_png(folder / "pictures" / (name + ".png"), picture);
      std::ofstream(folder / "pictures" / (name + ".txt")) << "a picture " << i;
    }
  }
  void TearDown() override { fs::remove_all(folder); }

  config::RunConfig pictures(const std::string& more = "") const {
    return config::parse_run_config(
        "base_model: examples/sd-style/tiny-sd.safetensors\ntrain_data_dir: " +
            (folder / "pictures").string() +
            "\nresolution: 64\nmin_bucket_side: 32\nmax_bucket_side: 128\nbucket_step: 16\nbatch_size: 2\n"
            "lora_rank: 4\noutput_dir: " +
            (folder / "out").string() + "\n" + more,
        "test");
  }
  std::unique_ptr<DiffusionTask> diffusion(const config::RunConfig& k) {
    return std::make_unique<DiffusionTask>(k, load_model(c, k, {}, {}),
                                           std::make_unique<ImageData>(k, 64, 8));
  }
  // A run of so many steps; the recorder writes beside.
  Notes run(Task& task, std::int64_t steps, const CountedCalls& calls = {}) {
    TrainOptions o;
    o.run_dir = folder / "run";
    o.result_name = "adapter.safetensors";
    o.max_steps = steps;
    o.schedule.learning_rate = 1e-3;
    fs::create_directories(o.run_dir);
    Trainer trainer(c, task, o);
    RunRecorder recorder(o.run_dir / "metrics.jsonl", {});
    Notes notes(calls);
    trainer.observe(notes);
    trainer.observe(recorder);
    trainer.run(std::atomic<bool>{false});
    return notes;
  }

  fs::path folder = fs::temp_directory_path() / ("rankine-numbers-" + std::to_string(::getpid()));
  Runtime runtime{Device::cpu(), std::size_t{256} << 20, 2};
  Context c{runtime};
};

void expect_same(const std::vector<StepRecord>& records, const fs::path& file) {
  const std::vector<StepMetrics> lines = read_metrics(file);
  ASSERT_EQ(lines.size(), records.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    const StepMetrics& m = lines[i];
    const StepRecord& r = records[i];
    EXPECT_EQ(m.budget_bytes, r.device_budget);
    EXPECT_EQ(m.memory_bytes, r.device_bytes);
    EXPECT_EQ(m.peak_memory_bytes, r.device_peak);
    EXPECT_EQ(m.tape_peak_bytes, r.tape_peak);
    EXPECT_EQ(m.paged_bytes, r.paged_peak);
    EXPECT_EQ(m.moved_bytes, r.moved);
    EXPECT_EQ(m.waited_seconds, r.waited_for_pages);
    EXPECT_EQ(m.streamed_bytes, r.streamed);
    EXPECT_EQ(m.streamed_waited_seconds, r.waited_for_weights);
    EXPECT_EQ(m.growths, r.growths);
  }
}

TEST_F(StepNumbers, AreThoseOfTheDisk) {
  const auto task = diffusion(pictures("enable_bucket: false\ngradient_accumulation: 2\n"));
  CountedCalls calls;
  const std::string where = (folder / "pages").string();
  fs::create_directories(where);
  task->step_memory().policy.others.page = true;
  task->step_memory().pages =
      std::make_shared<PageStore>(runtime, PageStore::Limits{0, std::size_t{16} << 20, where}, calls);
  const Notes notes = run(*task, 4, calls);
  ASSERT_EQ(notes.records.size(), 4U);
  for (std::size_t i = 0; i < 4; ++i) {
    SCOPED_TRACE(i);
    const StepRecord& r = notes.records[i];
    EXPECT_GT(notes.disk[i].in, 0U);
    EXPECT_LE(notes.disk[i].in, notes.disk[i].out);  // what was on its way out still need not come back
    EXPECT_EQ(r.moved, notes.disk[i].out + notes.disk[i].in);
    EXPECT_EQ(r.moved, notes.records[0].moved) << "of the step, not of all so far";
    EXPECT_GT(r.paged_peak, 0U);
    EXPECT_LE(2 * r.paged_peak, notes.disk[i].out) << "of one of two micro-batches at once";
    EXPECT_GT(r.tape_peak, 0U);
    ASSERT_TRUE(r.waited_for_pages);
    EXPECT_GE(*r.waited_for_pages, 0);
    EXPECT_LE(*r.waited_for_pages, r.seconds);
    EXPECT_EQ(r.streamed, 0U);
    EXPECT_EQ(r.device_budget, std::size_t{256} << 20);
  }
  expect_same(notes.records, folder / "run/metrics.jsonl");
}

TEST_F(StepNumbers, NothingMovesWhereEverythingIsKept) {
  const auto task = diffusion(pictures("enable_bucket: false\n"));
  const Notes kept = run(*task, 2);
  for (const StepRecord& r : kept.records) {
    EXPECT_EQ(r.moved, 0U);
    EXPECT_EQ(r.paged_peak, 0U);
    EXPECT_EQ(r.waited_for_pages, 0);
    EXPECT_EQ(r.tape_peak, task->step_memory().tape.resident_peak);
    EXPECT_LT(r.tape_peak, r.device_peak);
  }
}

// Number of the last step in which the device's memory grew, from 1; 0: none.
std::int64_t last_growth(const std::vector<StepRecord>& records) {
  std::int64_t last = 0;
  for (const StepRecord& r : records)
    if (r.growths > 0) last = r.step;
  return last;
}

TEST_F(StepNumbers, PicturesOfTwoShapesGrowNothingOnceBothWereSeen) {
  for (const char* more : {"", "cache_latents: false\n", "train_text_encoder: true\n"}) {
    SCOPED_TRACE(more);
    fs::remove_all(folder / "run");
    const auto task = diffusion(pictures(more));
    ASSERT_EQ(task->data().used_buckets().size(), 2U);
    const std::int64_t epoch = task->steps_per_epoch();
    if (*more == '\0') task->fill_latent_cache(c, nullptr);
    const Notes notes = run(*task, 3 * epoch);
    EXPECT_LE(last_growth(notes.records), epoch);
    expect_same(notes.records, folder / "run/metrics.jsonl");
  }
}

TEST_F(StepNumbers, TextGrowsNothingOnceEveryLengthWasSeen) {
  {
    std::ofstream rows(folder / "rows.jsonl");
    for (int i = 0; i < 6; ++i) {
      rows << R"({"instruction": "count", "output": ")";
      for (int k = 0; k <= 2 * i; ++k) rows << "apple " << k << ' ';
      rows << "\"}\n";
    }
  }
  const config::RunConfig k = config::parse_run_config(
      "task_type: text-generation\nmethod: full\ntrain_data_dir: " + (folder / "rows.jsonl").string() +
          "\noutput_dir: " + (folder / "out").string() +
          "\nbatch_size: 1\nmax_length: 128\n"
          "custom_template: {user: \"Q {user}\\n\", assistant: \"A {assistant}\"}\n"
          "new_model: {decoder: {vocab: 320, width: 64, mlp: 128, layers: 2, heads: 4, kv_heads: 2, context: "
          "256}}\n",
      "test");
  const DecoderCheckpoint checkpoint = checkpoint_of(k);
  auto data = std::make_unique<TextData>(k, name_of(checkpoint.config.family),
                                         vocabulary_for(k, checkpoint).tokenizer);
  TextTask task(k, load_decoder(c, k), std::move(data));
  const std::int64_t epoch = task.steps_per_epoch();
  const Notes notes = run(task, 3 * epoch);
  EXPECT_GT(last_growth(notes.records), 0) << "the test sees no growth at all";
  EXPECT_LE(last_growth(notes.records), epoch);
}

}  // namespace
}  // namespace rankine
