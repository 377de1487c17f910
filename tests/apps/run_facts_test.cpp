// run.json: what is written is read back, files of older versions too, and no file can do harm.
#include "apps/rankine/run_facts.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/rankine/memory_trace_json.h"
#include "engine/core/error.h"

namespace rankine::app {
namespace {

namespace fs = std::filesystem;

class RunFactsTest : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(folder); }
  void TearDown() override { fs::remove_all(folder); }
  RunFacts reading(const std::string& text) {
    std::ofstream(folder / kRunFactsFile) << text;
    return read_run_facts(folder).value();
  }
  fs::path folder = fs::temp_directory_path() / ("rankine-facts-" + std::to_string(::getpid()));
};

MemoryTrace some_trace(std::size_t points) {
  MemoryTrace trace;
  trace.timed = true;
  for (std::size_t i = 0; i < points; ++i) {
    MemoryTrace::Point p{0.125 * static_cast<double>(i), {}};
    p.held[static_cast<std::size_t>(Account::weights)] = std::uint64_t{1} << 40;
    p.held[static_cast<std::size_t>(Account::streamed)] = i == points / 2 ? 3 * points : i;
    trace.points.push_back(p);
  }
  trace.marks = {{0, "forward"}, {0.5, "backward"}, {1, ""}};
  return trace;
}

TEST_F(RunFactsTest, TheTraceComesBackAsItWas) {
  RunFacts facts;
  facts.budget = std::uint64_t{22} << 30;
  facts.step_memory = some_trace(9);
  write_run_facts(folder, facts);
  const RunFacts back = read_run_facts(folder).value();
  EXPECT_EQ(back.budget, facts.budget);
  EXPECT_EQ(back.step_memory, facts.step_memory);
  facts.step_memory = {};
  write_run_facts(folder, facts);
  EXPECT_TRUE(read_run_facts(folder)->step_memory.empty());
}

TEST_F(RunFactsTest, OlderFilesHaveNone) {
  const RunFacts facts = reading(R"({"version": "0.1.0", "outcome": "finished", "steps": 7})");
  EXPECT_EQ(facts.steps, 7);
  EXPECT_EQ(facts.budget, 0U);
  EXPECT_TRUE(facts.step_memory.empty());
}

TEST_F(RunFactsTest, LongTracesOfOthersAreThinned) {
  const MemoryTrace back = memory_trace_from(to_json(some_trace(5000)));
  EXPECT_LE(back.points.size(), kTracePoints);
  EXPECT_EQ(back.peak(), some_trace(5000).peak());
}

TEST_F(RunFactsTest, WhatIsNoTraceIsRefusedWithTheFile) {
  const std::string head = R"({"step_memory": {"timed": true, "marks": [], )";
  for (const char* rest : {
           R"("accounts": ["weights"], "points": [[0]]}})",
           R"("accounts": ["weights"], "points": [[0, 1, 2]]}})",
           R"("accounts": ["weights"], "points": [[0, -1]]}})",
           R"("accounts": ["weights"], "points": [[0, 1.5]]}})",
           R"("accounts": ["weights"], "points": [[null, 1]]}})",
           R"("accounts": ["weights"], "points": [[1, 1], [0, 1]]}})",
           R"("accounts": ["weights"], "points": 5}})",
           R"("accounts": ["wages"], "points": [[0, 1]]}})",
           R"("accounts": [7], "points": [[0, 1]]}})",
           R"("points": []}})",
       }) {
    try {
      reading(head + rest);
      ADD_FAILURE() << "taken: " << rest;
    } catch (const DataError& e) {
      EXPECT_NE(std::string(e.what()).find("run.json: "), std::string::npos) << e.what();
    }
  }
  EXPECT_THROW(reading(R"({"step_memory": {"timed": true, "accounts": [], "points": [], "marks": [[0]]}})"),
               DataError);
  EXPECT_TRUE(reading(R"({"step_memory": {"timed": true, "accounts": [], "points": [], "marks": []}})")
                  .step_memory.empty());
}

}  // namespace
}  // namespace rankine::app
