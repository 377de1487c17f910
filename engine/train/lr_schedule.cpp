#include "engine/train/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/core/error.h"
#include "engine/train/facts.h"

namespace rankine {

using config::LrScheduler;

namespace {

double half_cosine(double p) { return std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * p))); }

}  // namespace

LrSchedule::LrSchedule(const LrScheduleOptions& options) : o_(options) {
  require<ConfigError>(std::isfinite(o_.learning_rate) && o_.learning_rate > 0,
                       "LrSchedule: learning_rate must be a positive number, got ", o_.learning_rate);
  require<ConfigError>(o_.warmup_steps >= 0 && o_.total_steps >= 0,
                       "LrSchedule: step counts must not be negative, got warm-up ", o_.warmup_steps, " of ",
                       o_.total_steps);
  require<ConfigError>(o_.warmup_steps <= o_.total_steps, "LrSchedule: a warm-up of ", o_.warmup_steps,
                       " steps is longer than the run of ", o_.total_steps);
  require<ConfigError>(o_.kind != LrScheduler::cosine_with_restarts || o_.cycles > 0,
                       "LrSchedule: cosine_with_restarts needs more than 0 cycles, got ", o_.cycles);
  require<ConfigError>(
      o_.kind != LrScheduler::polynomial || (o_.learning_rate > kPolynomialEnd && o_.power > 0),
      "LrSchedule: polynomial needs a learning_rate above ", kPolynomialEnd, " and a positive power, got ",
      o_.learning_rate, " and ", o_.power);
}

double LrSchedule::at(std::int64_t updates) const { return o_.learning_rate * factor(updates); }

double LrSchedule::factor(std::int64_t n) const {
  if (n < o_.warmup_steps) return static_cast<double>(n) / static_cast<double>(o_.warmup_steps);
  const auto decay_steps = static_cast<double>(std::max<std::int64_t>(1, o_.total_steps - o_.warmup_steps));
  const double p = static_cast<double>(n - o_.warmup_steps) / decay_steps;
  switch (o_.kind) {
    case LrScheduler::constant:
      return 1;
    case LrScheduler::linear:
      return std::max(0.0, static_cast<double>(o_.total_steps - n) / decay_steps);
    case LrScheduler::cosine:
      return half_cosine(p);
    case LrScheduler::cosine_with_restarts:
      return p >= 1 ? 0 : half_cosine(std::fmod(o_.cycles * p, 1.0));
    case LrScheduler::polynomial: {
      const double end = kPolynomialEnd / o_.learning_rate;
      return n > o_.total_steps ? end : end + (1 - end) * std::pow(std::max(0.0, 1 - p), o_.power);
    }
  }
  return 1;
}

std::string LrSchedule::describe() const {
  std::string text =
      join(config::name_of(o_.kind), " lr=", exact(o_.learning_rate), " warmup=", o_.warmup_steps);
  if (o_.kind != LrScheduler::constant) text += join(" total=", o_.total_steps);
  if (o_.kind == LrScheduler::cosine_with_restarts) text += " cycles=" + exact(o_.cycles);
  if (o_.kind == LrScheduler::polynomial) text += " power=" + exact(o_.power);
  return text;
}

}  // namespace rankine
