#include "apps/rankine/nearest_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace rankine::app {
namespace {

// Values of one lever, the mildest first.
using Lever = std::vector<Settings>;

Lever batch_lever(const RunConfig& config) {
  Lever lever;
  const std::int64_t samples = config.optim.batch_size * config.optim.gradient_accumulation;
  for (std::int64_t batch = config.optim.batch_size / 2; batch >= 1; batch /= 2) {
    lever.push_back({fmt::format("batch_size={}", batch),
                     fmt::format("gradient_accumulation={}", (samples + batch - 1) / batch)});
  }
  return lever;
}

// Seven eighths to a quarter of `size`, in multiples of `step`.
std::vector<std::int64_t> smaller_sizes(std::int64_t size, std::int64_t step) {
  constexpr std::int64_t kParts = 8, kFewest = 2;
  std::vector<std::int64_t> out;
  for (std::int64_t part = kParts - 1; part >= kFewest; --part) {
    const std::int64_t smaller = size * part / kParts / step * step;
    if (smaller > 0 && smaller < size && (out.empty() || out.back() != smaller)) out.push_back(smaller);
  }
  return out;
}

Lever size_lever(const RunConfig& config, int side) {
  Lever lever;
  if (config.model.task_type == config::TaskType::text_generation) {
    constexpr std::int64_t kStep = 8;
    for (std::int64_t length = config.text.max_length; lever.size() < 12 && length > 2 * kStep; length /= 4) {
      for (const std::int64_t smaller : smaller_sizes(length, kStep))
        lever.push_back({fmt::format("max_length={}", smaller)});
    }
    return lever;
  }
  const config::Resolution now = config.data.resolution.value_or(config::Resolution{side, side});
  constexpr std::int64_t kLatents = 8;
  const std::int64_t longest = std::max(now.width, now.height);
  const std::int64_t step = longest > 2 * config.data.bucket_step ? config.data.bucket_step : kLatents;
  for (const std::int64_t smaller : smaller_sizes(longest, step)) {
    const auto scaled = [&](std::int64_t of) {
      return std::max(kLatents, of * smaller / longest / kLatents * kLatents);
    };
    lever.push_back({fmt::format("resolution=[{}, {}]", scaled(now.width), scaled(now.height))});
  }
  return lever;
}

Lever precision_lever(const RunConfig& config) {
  using config::BaseQuantisation;
  const bool text = config.model.task_type == config::TaskType::text_generation;
  if (!text || config.model.method == config::Method::full ||
      config.model.quantise_base == BaseQuantisation::nf4)
    return {};
  return {{"quantise_base=nf4"}};
}

Lever rank_lever(const RunConfig& config) {
  Lever lever;
  if (config.model.method == config::Method::full) return lever;
  for (std::int64_t rank = config.adapter.lora_rank / 2; rank >= 1; rank /= 2)
    lever.push_back({fmt::format("lora_rank={}", rank)});
  return lever;
}

class Search {
 public:
  explicit Search(const PlanSearch& search)
      : search_(search),
        levers_{batch_lever(search.config), size_lever(search.config, search.side),
                precision_lever(search.config), rank_lever(search.config)},
        chosen_(levers_.size(), 0) {}

  std::vector<Suggestion> run() {
    std::vector<Suggestion> out;
    for (std::size_t i = 0; i < levers_.size(); ++i) {
      if (auto found = mildest(i)) out.push_back(std::move(*found));
      chosen_[i] = 0;
    }
    if (out.empty()) {
      if (auto found = joined()) out.push_back(std::move(*found));
    }
    return out;
  }

 private:
  // The chosen values together; 0 is the run's own.
  Settings chosen() const {
    Settings all;
    for (std::size_t i = 0; i < levers_.size(); ++i) {
      if (chosen_[i] == 0) continue;
      const Settings& one = levers_[i][chosen_[i] - 1];
      all.insert(all.end(), one.begin(), one.end());
    }
    return all;
  }
  bool fits(const std::optional<Suggestion>& s) const { return s && s->plan.peak <= search_.budget; }
  // Nothing where the settings are refused or cannot be planned.
  std::optional<Suggestion> planned() const {
    try {
      Suggestion s{chosen(), {}};
      s.plan = search_.plan(search_.with(s.settings));
      return s;
    } catch (const Error&) {
      return std::nullopt;
    }
  }
  // Sets lever i to the mildest value, from `from` on, that fits beside the others; where none does, to the
  // last that can be planned, and returns nothing.
  std::optional<Suggestion> mildest(std::size_t i, std::size_t from = 1) {
    std::optional<Suggestion> last;
    for (chosen_[i] = levers_[i].size(); chosen_[i] > 0; --chosen_[i]) {
      if ((last = planned())) break;
    }
    if (!fits(last)) return std::nullopt;
    const std::size_t end = chosen_[i];
    for (std::size_t value = from; value < end; ++value) {
      chosen_[i] = value;
      if (auto found = planned(); fits(found)) return found;
    }
    chosen_[i] = end;
    return last;
  }
  std::optional<Suggestion> joined() {
    for (std::size_t i = 0; i < levers_.size(); ++i) {
      std::optional<Suggestion> found = mildest(i);
      if (!found) continue;
      for (std::size_t earlier = i; earlier-- > 0;) {
        if (chosen_[earlier] == 0) continue;
        if (auto eased = mildest(earlier, 0)) found = std::move(eased);
      }
      return found;
    }
    return std::nullopt;
  }

  const PlanSearch& search_;
  std::vector<Lever> levers_;
  std::vector<std::size_t> chosen_;
};

}  // namespace

std::vector<Suggestion> nearest_settings(const PlanSearch& search) { return Search(search).run(); }

std::string suggestions_text(const std::vector<Suggestion>& suggestions) {
  if (suggestions.empty())
    return "No smaller batch, size, base precision or rank fits, nor all of them together.";
  std::string out = "What fits:";
  for (const Suggestion& s : suggestions) {
    out += fmt::format("\n  {:>10}  {}", human_bytes(static_cast<double>(s.plan.peak)),
                       fmt::join(s.settings, "  "));
    if (s.plan.seconds > 0) out += fmt::format("  ({:.3g} s a step)", s.plan.seconds);
  }
  return out;
}

}  // namespace rankine::app
