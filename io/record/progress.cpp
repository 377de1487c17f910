#include "io/record/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace rankine {
namespace {

template <class... Args>
std::string print(const char* format, Args... args) {
  char text[128];
  std::snprintf(text, sizeof text, format, args...);
  return text;
}

struct Part {
  std::string text;
  int importance;  // the least important goes first when the line is too long
  const char* before = "  ";
};

std::string memory_text(const Progress& p) {
  if (p.memory_budget_bytes == 0) return "mem " + format_bytes(p.memory_bytes);
  return print("mem %.1f/%.1f GiB", static_cast<double>(p.memory_bytes) / 0x1p30,
               static_cast<double>(p.memory_budget_bytes) / 0x1p30);
}

std::string paged_text(const Progress& p) {
  std::string text = "paged " + format_bytes(p.paged_bytes);
  if (p.waited_share) text += print(" (waited %.0f %%)", 100 * *p.waited_share);
  return text;
}

std::string joined(const std::vector<Part>& parts) {
  std::string line;
  for (const Part& part : parts) line += (line.empty() ? "" : part.before) + part.text;
  return line;
}

}  // namespace

double remaining_seconds(const Progress& p) {
  if (p.seconds_per_step <= 0) return -1;
  return p.seconds_per_step * static_cast<double>(std::max<std::int64_t>(0, p.total_steps - p.step));
}

std::string progress_line(const Progress& p, std::size_t width) {
  const double share =
      p.total_steps > 0 ? static_cast<double>(p.step) / static_cast<double>(p.total_steps) : 0;
  const int digits = static_cast<int>(std::to_string(p.total_steps).size());
  std::vector<Part> parts;
  parts.push_back({print("step %*lld/%lld", digits, static_cast<long long>(p.step),
                         static_cast<long long>(p.total_steps)),
                   9});
  parts.push_back({print("%3.0f%%", std::floor(share * 100)), 9});  // 100 % only when done
  if (p.epoch > 0)
    parts.push_back(
        {print("epoch %lld/%lld", static_cast<long long>(p.epoch), static_cast<long long>(p.epochs)), 4});
  parts.push_back({"loss " + format_compact(p.loss), 9});
  parts.push_back({print("lr %.2e", p.learning_rate), 2});
  parts.push_back({"grad " + format_compact(p.grad_norm), 1});
  parts.push_back({print("%.2f %s/s", p.samples_per_second, p.unit.c_str()), 5});
  parts.push_back({memory_text(p), 3});
  if (p.paged_bytes > 0) parts.push_back({paged_text(p), 0, ", "});
  parts.push_back({"eta " + format_duration(remaining_seconds(p)), 9});
  std::string line = joined(parts);
  while (width > 0 && line.size() > width) {
    const auto least = std::min_element(
        parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.importance < b.importance; });
    if (least->importance == 9) break;
    parts.erase(least);
    line = joined(parts);
  }
  return line;
}

std::string format_duration(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "?";
  const auto s = static_cast<long long>(std::llround(seconds));
  if (s < 60) return print("%llds", s);
  if (s < 3600) return print("%lldm %02llds", s / 60, s % 60);
  if (s < 86400) return print("%lldh %02lldm", s / 3600, s / 60 % 60);
  return print("%lldd %02lldh", s / 86400, s / 3600 % 24);
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  auto amount = static_cast<double>(bytes);
  int unit = 0;
  while (amount >= 1023.95 && unit < 6) {  // what would be shown as 1024.0 is 1.0 of the next unit
    amount /= 1024;
    ++unit;
  }
  return unit == 0 ? print("%.0f B", amount) : print("%.1f %s", amount, kUnits[unit]);
}

std::string format_compact(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
  if (value == 0) return "0";
  const double size = std::abs(value);
  if (size < 1e-3 || size >= 1e5) return print("%.2e", value);
  const int before = static_cast<int>(std::floor(std::log10(size)));
  return print("%.*f", std::clamp(3 - before, 0, 4), value);
}

}  // namespace rankine
