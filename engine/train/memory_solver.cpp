#include "engine/train/memory_solver.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>

namespace rankine {
namespace {

// How many units are streamed, recomputed and paged: the order is that of preference among equals.
struct Counts {
  int streamed = 0, recomputed = 0, paged = 0;
  // clang-tidy 14 takes the zero of the comparison that the compiler writes for a null pointer.
  friend auto operator<=>(const Counts&, const Counts&) = default;  // NOLINT(modernize-use-nullptr)
};

class Solver {
 public:
  Solver(std::size_t budget, const MemoryRules& rules, const TryPolicy& attempt)
      : budget_(budget), rules_(rules), attempt_(attempt) {}

  MemorySolution solve();

 private:
  int most(Use use, int all) const { return use == Use::never ? 0 : all; }
  int least(Use use, int all) const { return use == Use::always ? all : 0; }
  MemoryPolicy policy_of(const Counts& counts) const;
  const MemoryTrial& trial(const Counts& counts);
  bool fits(const Counts& counts) { return trial(counts).peak <= budget_; }
  // The least value of `field` from `low` to `high` that fits; nothing when `high` does not.
  std::optional<Counts> least_that_fits(Counts counts, int Counts::*field, int low, int high);
  void consider(const std::optional<Counts>& counts);
  void search(int streamed);
  std::vector<int> some(int low, int high) const;

  std::size_t budget_;
  const MemoryRules& rules_;
  const TryPolicy& attempt_;
  int units_ = 0;
  std::vector<int> by_worth_;  // units, those first whose recomputation frees most bytes per second
  std::map<Counts, MemoryTrial> tried_;
  std::optional<Counts> best_;
};

MemoryPolicy Solver::policy_of(const Counts& counts) const {
  MemoryPolicy policy;
  policy.units.resize(static_cast<std::size_t>(units_));
  for (int i = 0; i < units_; ++i)
    policy.units[static_cast<std::size_t>(i)].page = i * counts.paged % units_ < counts.paged;
  for (int i = 0; i < counts.recomputed; ++i)
    policy.units[static_cast<std::size_t>(by_worth_[static_cast<std::size_t>(i)])].recompute = true;
  policy.streamed_units = counts.streamed;
  return policy;
}

const MemoryTrial& Solver::trial(const Counts& counts) {
  const auto known = tried_.find(counts);
  if (known != tried_.end()) return known->second;
  return tried_.emplace(counts, attempt_(policy_of(counts))).first->second;
}

std::optional<Counts> Solver::least_that_fits(Counts counts, int Counts::*field, int low, int high) {
  counts.*field = high;
  if (!fits(counts)) return std::nullopt;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    counts.*field = middle;
    if (fits(counts))
      high = middle;
    else
      low = middle + 1;
  }
  counts.*field = high;
  return counts;
}

void Solver::consider(const std::optional<Counts>& counts) {
  if (!counts || !fits(*counts)) return;
  if (!best_ || std::tuple(trial(*counts).seconds, *counts) < std::tuple(trial(*best_).seconds, *best_))
    best_ = counts;
}

std::vector<int> Solver::some(int low, int high) const {
  constexpr int kParts = 6;
  std::vector<int> values;
  for (int i = 0; i <= kParts; ++i) values.push_back(low + (high - low) * i / kParts);
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

// All that is worth a look with so many units streamed.
void Solver::search(int streamed) {
  const int page_low = least(rules_.page, units_), page_high = most(rules_.page, units_);
  const int again_low = least(rules_.recompute, units_), again_high = most(rules_.recompute, units_);
  consider(least_that_fits({streamed, again_low, 0}, &Counts::paged, page_low, page_high));
  for (const int paged : some(page_low, page_high))
    consider(least_that_fits({streamed, 0, paged}, &Counts::recomputed, again_low, again_high));
  for (const int recomputed : some(again_low, again_high))
    consider(least_that_fits({streamed, recomputed, 0}, &Counts::paged, page_low, page_high));
}

MemorySolution Solver::solve() {
  MemorySolution solution;
  const MemoryTrial free = attempt_({});
  units_ = static_cast<int>(free.units.size());
  by_worth_.resize(free.units.size());
  std::iota(by_worth_.begin(), by_worth_.end(), 0);
  std::stable_sort(by_worth_.begin(), by_worth_.end(), [&](int a, int b) {
    const UnitReport &x = free.units[static_cast<std::size_t>(a)],
                     &y = free.units[static_cast<std::size_t>(b)];
    return static_cast<double>(x.saved) * y.forward_seconds >
           static_cast<double>(y.saved) * x.forward_seconds;
  });
  solution.unbound_seconds = free.seconds;

  const int stream_low = least(rules_.stream, rules_.streamable),
            stream_high = most(rules_.stream, rules_.streamable);
  const Counts frugal{stream_high, most(rules_.recompute, units_), most(rules_.page, units_)};
  const Counts lavish{stream_low, least(rules_.recompute, units_), least(rules_.page, units_)};
  solution.minimum = std::min(trial(frugal).peak, trial(lavish).peak);
  consider(lavish);
  if (!best_) {
    const auto from = least_that_fits(frugal, &Counts::streamed, stream_low, stream_high);
    if (from) {
      for (const int streamed : some(from->streamed, stream_high)) search(streamed);
      consider(from);
    }
  }
  const Counts chosen = best_.value_or(trial(frugal).peak <= trial(lavish).peak ? frugal : lavish);
  solution.policy = policy_of(chosen);
  solution.trial = trial(chosen);
  solution.fits = best_.has_value();
  solution.trials = static_cast<int>(tried_.size()) + 1;
  return solution;
}

}  // namespace

MemorySolution solve_memory(std::size_t budget, const MemoryRules& rules, const TryPolicy& attempt) {
  return Solver(budget, rules, attempt).solve();
}

}  // namespace rankine
