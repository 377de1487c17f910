// A run as people follow it: one line that moves on a terminal, a plain line now and then elsewhere.
#pragma once

#include <chrono>
#include <optional>

#include "apps/rankine/console.h"
#include "engine/train/observer.h"
#include "io/record/smoothing.h"

namespace rankine::app {

class ConsoleObserver final : public TrainObserver {
 public:
  struct Sizes {
    std::int64_t epochs = 0;          // of the whole run
    std::uint64_t memory_budget = 0;  // bytes
  };
  ConsoleObserver(Console& console, Sizes sizes) : console_(console), sizes_(sizes) {}

  void on_start(const RunStart& start) override;
  void on_step(const StepRecord& record) override;
  void on_skip(std::int64_t step, const std::string& reason) override;
  void on_validation(std::int64_t step, double loss) override;
  void on_preview(std::int64_t step, const std::vector<std::filesystem::path>& files) override;
  void on_save(std::int64_t step, const std::filesystem::path& checkpoint) override;
  void on_warning(const std::string& message) override { console_.warn(message); }

 private:
  using Clock = std::chrono::steady_clock;

  Console& console_;
  Sizes sizes_;
  MovingMedian seconds_, rate_;
  MovingAverage loss_, waited_;
  std::optional<Clock::time_point> last_line_;
  std::string unit_;
};

}  // namespace rankine::app
