// metrics.jsonl: what is written is read back; a resumed run leaves every step once.
#include "io/record/metrics_log.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "engine/core/error.h"

namespace rankine {
namespace {

std::filesystem::path fresh(const std::string& name) {
  auto path = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove(path);
  return path;
}

StepMetrics metrics_of(std::int64_t step) {
  StepMetrics m;
  m.step = step;
  m.epoch = 0.1 * static_cast<double>(step);
  m.loss = 1.0 / static_cast<double>(step);
  m.learning_rate = 1e-4;
  m.grad_norm = 0.3;
  m.seconds = 0.25;
  m.samples_per_second = 16;
  m.memory_bytes = 6'000'000'000;
  m.peak_memory_bytes = 7'000'000'000;
  m.budget_bytes = 8'000'000'000;
  m.tape_peak_bytes = 3'000'000'000;
  m.paged_bytes = 1'000'000'000;
  m.moved_bytes = 2'500'000'000;
  m.waited_seconds = 0.125;
  m.streamed_bytes = 500'000'000;
  m.growths = 3;
  return m;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void append_text(const std::filesystem::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary | std::ios::app) << text;
}

std::vector<std::int64_t> steps_of(const std::filesystem::path& path) {
  std::vector<std::int64_t> steps;
  for (const StepMetrics& m : read_metrics(path)) steps.push_back(m.step);
  return steps;
}

TEST(MetricsLogTest, ReadsBackExactlyWhatWasWritten) {
  const auto path = fresh("metrics_exact.jsonl");
  StepMetrics m = metrics_of(3);
  m.loss = 0.1 + 0.2;
  m.extra = {{"validation_loss", 0.5}, {"loss_scale", 65536}};
  MetricsLog(path, 0).append(m);
  const auto all = read_metrics(path);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].step, 3);
  EXPECT_EQ(all[0].loss, 0.1 + 0.2);
  EXPECT_EQ(all[0].epoch, m.epoch);
  EXPECT_EQ(all[0].learning_rate, 1e-4);
  EXPECT_EQ(all[0].samples_per_second, 16);
  EXPECT_EQ(all[0].peak_memory_bytes, 7'000'000'000U);
  EXPECT_EQ(all[0].budget_bytes, m.budget_bytes);
  EXPECT_EQ(all[0].tape_peak_bytes, m.tape_peak_bytes);
  EXPECT_EQ(all[0].paged_bytes, m.paged_bytes);
  EXPECT_EQ(all[0].moved_bytes, m.moved_bytes);
  EXPECT_EQ(all[0].waited_seconds, 0.125);
  EXPECT_EQ(all[0].streamed_bytes, m.streamed_bytes);
  EXPECT_EQ(all[0].streamed_waited_seconds, std::nullopt);  // not measured is not 0
  EXPECT_EQ(all[0].growths, 3U);
  EXPECT_EQ(all[0].extra, m.extra);
}

TEST(MetricsLogTest, OlderLinesLackTheNumbersOfMemory) {
  const auto path = fresh("metrics_old.jsonl");
  append_text(path, R"({"v":1,"step":1,"loss":0.5,"memory_bytes":6,"peak_memory_bytes":7,"host_bytes":2.0})"
                    "\n");
  const auto all = read_metrics(path);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(all[0].peak_memory_bytes, 7U);
  EXPECT_EQ(all[0].budget_bytes, 0U);
  EXPECT_EQ(all[0].moved_bytes, 0U);
  EXPECT_EQ(all[0].waited_seconds, std::nullopt);
  EXPECT_EQ(all[0].extra.size(), 1U);
  StepMetrics m = metrics_of(1);
  m.budget_bytes = 0;
  EXPECT_TRUE(nlohmann::json::parse(to_json_line(m))["budget_bytes"].is_null());  // no budget is not 0 bytes
}

TEST(MetricsLogTest, TheLineHasFixedKeysInOrder) {
  EXPECT_EQ(to_json_line(metrics_of(2)),
            R"({"v":1,"step":2,"epoch":0.2,"loss":0.5,"lr":0.0001,"grad_norm":0.3,"seconds":0.25,)"
            R"("samples_per_second":16.0,"memory_bytes":6000000000,"peak_memory_bytes":7000000000,)"
            R"("budget_bytes":8000000000,"tape_peak_bytes":3000000000,"paged_bytes":1000000000,)"
            R"("moved_bytes":2500000000,"waited_seconds":0.125,"streamed_bytes":500000000,)"
            R"("streamed_waited_seconds":null,"growths":3})");
  StepMetrics clash = metrics_of(1);
  clash.extra = {{"lr", 1}};
  EXPECT_THROW(to_json_line(clash), std::logic_error);
}

TEST(MetricsLogTest, NumbersThatAreNotFiniteAreNull) {
  StepMetrics m = metrics_of(1);
  m.loss = std::numeric_limits<double>::quiet_NaN();
  m.grad_norm = HUGE_VAL;
  EXPECT_TRUE(nlohmann::json::parse(to_json_line(m))["loss"].is_null());
  const auto path = fresh("metrics_nan.jsonl");
  MetricsLog(path, 0).append(m);
  EXPECT_TRUE(std::isnan(read_metrics(path)[0].loss));
  EXPECT_TRUE(std::isnan(read_metrics(path)[0].grad_norm));
}

TEST(MetricsLogTest, ResumeDropsLaterSteps) {
  const auto path = fresh("metrics_resume.jsonl");
  {
    MetricsLog log(path, 0);
    for (int step = 1; step <= 10; ++step) log.append(metrics_of(step));
  }
  const std::string before = text_of(path);
  {
    MetricsLog log(path, 6);
    EXPECT_EQ(log.last_step(), 6);
    for (int step = 7; step <= 10; ++step) log.append(metrics_of(step));
  }
  EXPECT_EQ(text_of(path), before);  // the same lines, each step once
  EXPECT_EQ(MetricsLog(path, 100).last_step(), 10);
  EXPECT_EQ(text_of(path), before);
  EXPECT_EQ(MetricsLog(path, 0).last_step(), 0);  // a run from the start
  EXPECT_EQ(text_of(path), "");
}

TEST(MetricsLogTest, ATornLastLineIsRepairedWhereverItTears) {
  const std::string good = to_json_line(metrics_of(1)) + "\n";
  const std::string torn = to_json_line(metrics_of(2));
  for (std::size_t length = torn.size(); length > 0;
       length -= std::min<std::size_t>(length, 7)) {  // the first: no line end
    const auto path = fresh("metrics_torn.jsonl");
    append_text(path, good + torn.substr(0, length));
    EXPECT_EQ(steps_of(path), std::vector<std::int64_t>{1});
    MetricsLog log(path, 5);
    EXPECT_EQ(log.last_step(), 1);
    EXPECT_EQ(text_of(path), good);
    log.append(metrics_of(2));
    EXPECT_EQ(steps_of(path), (std::vector<std::int64_t>{1, 2}));
  }
}

TEST(MetricsLogTest, DamagedAndRepeatedLinesAreDroppedOnResume) {
  const auto path = fresh("metrics_damaged.jsonl");
  for (const char* line :
       {"1", "rubbish", "2", "2", "\0\xFF", "{\"v\":1}", "{\"v\":99,\"step\":3}", "1", "4"}) {
    const std::string text = line;
    const bool step = text.size() == 1 && text[0] >= '1' && text[0] <= '9';
    append_text(path, (step ? to_json_line(metrics_of(text[0] - '0')) : text) + "\n");
  }
  try {
    read_metrics(path);
    FAIL();
  } catch (const DataError& e) {
    EXPECT_NE(std::string(e.what()).find("metrics_damaged.jsonl:2: "), std::string::npos) << e.what();
  }
  EXPECT_EQ(MetricsLog(path, 9).last_step(), 4);
  EXPECT_EQ(steps_of(path), (std::vector<std::int64_t>{1, 2, 4}));
}

TEST(MetricsLogTest, StepsMustRise) {
  MetricsLog log(fresh("metrics_rise.jsonl"), 0);
  log.append(metrics_of(4));
  EXPECT_THROW(log.append(metrics_of(4)), std::logic_error);
  EXPECT_THROW(log.append(metrics_of(3)), std::logic_error);
}

TEST(MetricsLogTest, NamesTheFileThatFails) {
  EXPECT_THROW(MetricsLog("/no/such/folder/metrics.jsonl", 0), IoError);
  EXPECT_THROW(read_metrics("/no/such/folder/metrics.jsonl"), IoError);
}

}  // namespace
}  // namespace rankine
