// The choice of a memory policy, on a machine of made-up units whose costs are known in closed form.
#include "engine/train/memory_solver.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace rankine {
namespace {

// n units that save 100 bytes each and run for a second each way; inputs are 10 bytes; weights 50 a unit.
struct Machine {
  int units = 12;
  std::size_t base = 1000;
  double link_rate = 1000;  // bytes per second, each way
  int tries = 0;

  MemoryTrial operator()(const MemoryPolicy& policy) {
    ++tries;
    MemoryTrial t;
    std::size_t tape = 0, moved = 0;
    double again = 0;
    for (int i = 0; i < units; ++i) {
      const UnitPolicy unit = policy.at(i);
      const std::size_t left = unit.recompute ? 10 : 100;
      t.units.push_back({"unit", left, 1.0});
      if (unit.recompute) again += 1;
      (unit.page ? moved : tape) += left;
    }
    const auto streamed = static_cast<std::size_t>(policy.streamed_units);
    t.peak = base + tape + 50 * (static_cast<std::size_t>(units) - streamed) + (streamed > 0 ? 100 : 0);
    const double compute = 2.0 * units + again;
    const double travel = static_cast<double>(2 * moved + 100 * streamed) / link_rate;
    t.seconds = std::max(compute, travel);
    return t;
  }
  MemorySolution solve(std::size_t budget, MemoryRules rules = {}) {
    rules.streamable = units;
    return solve_memory(budget, rules, [this](const MemoryPolicy& p) { return (*this)(p); });
  }
  static int count(const MemoryPolicy& policy, bool UnitPolicy::*field) {
    return static_cast<int>(std::count_if(policy.units.begin(), policy.units.end(),
                                          [&](const UnitPolicy& u) { return u.*field; }));
  }
};
constexpr std::size_t kAll = 1000 + 12 * 150;  // what the machine takes when everything is kept

TEST(MemorySolver, KeepsEverythingWhereItFits) {
  Machine machine;
  const MemorySolution s = machine.solve(kAll);
  EXPECT_TRUE(s.fits);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::page), 0);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::recompute), 0);
  EXPECT_EQ(s.policy.streamed_units, 0);
  EXPECT_DOUBLE_EQ(s.trial.seconds, 24);
  EXPECT_LE(machine.tries, 4);
}

TEST(MemorySolver, PagesWhatTravelsBesideTheComputation) {
  const MemorySolution s = Machine().solve(kAll - 350);
  EXPECT_TRUE(s.fits);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::page), 4);
  EXPECT_TRUE(s.policy.at(0).page && s.policy.at(3).page && s.policy.at(6).page);  // spread
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::recompute), 0);
  EXPECT_DOUBLE_EQ(s.trial.seconds, s.unbound_seconds);
}

TEST(MemorySolver, ComputesAgainWhatALinkCannotCarry) {
  Machine slow;
  slow.link_rate = 1;
  const MemorySolution s = slow.solve(kAll - 350);
  EXPECT_TRUE(s.fits);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::page), 0);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::recompute), 4);  // 90 bytes each
  EXPECT_DOUBLE_EQ(s.trial.seconds, 28);
}

TEST(MemorySolver, StreamsWeightsWhenTheTapeIsNotEnough) {
  const MemorySolution s = Machine().solve(1000 + 300);
  EXPECT_TRUE(s.fits);
  EXPECT_GT(s.policy.streamed_units, 0);
  EXPECT_LE(s.trial.peak, 1300U);
  MemoryRules rules;
  rules.stream = Use::never;
  EXPECT_FALSE(Machine().solve(1000 + 300, rules).fits);
}

TEST(MemorySolver, SaysTheLeastWhenNothingFits) {
  const MemorySolution s = Machine().solve(500);
  EXPECT_FALSE(s.fits);
  EXPECT_EQ(s.minimum, 1100U);  // all paged, all streamed, two units' weights
  EXPECT_EQ(s.trial.peak, s.minimum);
}

TEST(MemorySolver, RulesHold) {
  MemoryRules rules;
  rules.recompute = Use::always;
  rules.page = Use::never;
  const MemorySolution s = Machine().solve(kAll, rules);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::recompute), 12);
  EXPECT_EQ(Machine::count(s.policy, &UnitPolicy::page), 0);
  rules = {};
  rules.page = Use::never;
  EXPECT_EQ(Machine::count(Machine().solve(kAll - 350, rules).policy, &UnitPolicy::page), 0);
}

// No worse than the best of all counts by more than a few percent, whatever the budget.
TEST(MemorySolver, ComesCloseToTheBestOfAll) {
  for (const double rate : {1.0, 60.0, 120.0, 1000.0}) {
    for (std::size_t budget = 1150; budget < kAll; budget += 130) {
      Machine machine;
      machine.link_rate = rate;
      double best = 1e9;
      for (int p = 0; p <= 12; ++p) {
        for (int r = 0; r <= 12; ++r) {
          for (int s = 0; s <= 12; ++s) {
            MemoryPolicy policy;
            policy.units.resize(12);
            for (int i = 0; i < p; ++i) policy.units[static_cast<std::size_t>(i)].page = true;
            for (int i = 0; i < r; ++i) policy.units[static_cast<std::size_t>(i)].recompute = true;
            policy.streamed_units = s;
            const MemoryTrial t = machine(policy);
            if (t.peak <= budget) best = std::min(best, t.seconds);
          }
        }
      }
      const MemorySolution found = machine.solve(budget);
      ASSERT_TRUE(found.fits) << rate << ' ' << budget;
      EXPECT_LE(found.trial.peak, budget);
      EXPECT_LE(found.trial.seconds, 1.05 * best) << "rate " << rate << ", budget " << budget;
    }
  }
}

}  // namespace
}  // namespace rankine
