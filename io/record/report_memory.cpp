#include "io/record/report_memory.h"

#include <algorithm>

#include "engine/core/error.h"
#include "io/record/area_chart.h"
#include "io/record/progress.h"

namespace rankine {
namespace {

constexpr std::size_t kColours = 8;  // of the style sheet

// Those of the device that hold anything at any time.
std::vector<Account> accounts_of(const MemoryTrace& trace) {
  std::vector<Account> accounts;
  for (int i = 0; i < kAccounts; ++i) {
    const bool used = std::any_of(trace.points.begin(), trace.points.end(), [&](const MemoryTrace::Point& p) {
      return p.held[static_cast<std::size_t>(i)] > 0;
    });
    if (used && static_cast<Account>(i) != Account::mapped) accounts.push_back(static_cast<Account>(i));
  }
  return accounts;
}

std::uint64_t held(const MemoryTrace::Point& point, Account account) {
  return point.held[static_cast<std::size_t>(account)];
}

// There must be one.
const MemoryTrace::Point& peak_of(const MemoryTrace& trace) {
  return *std::max_element(
      trace.points.begin(), trace.points.end(),
      [](const MemoryTrace::Point& a, const MemoryTrace::Point& b) { return a.total() < b.total(); });
}

// The phase that `point` lies in.
std::string phase_at(const MemoryTrace& trace, double x) {
  std::string name;
  for (const MemoryTrace::Mark& mark : trace.marks)
    if (mark.x <= x) name = mark.name;
  return name;
}

}  // namespace

std::string memory_figure(const MemoryTrace& trace, std::uint64_t budget) {
  const std::vector<Account> accounts = accounts_of(trace);
  if (accounts.empty()) return "";
  const auto peak = static_cast<double>(trace.peak());
  const double unit = peak >= 0x1p30 ? 0x1p30 : peak >= 0x1p20 ? 0x1p20 : 0x1p10;
  AreaChart chart;
  chart.title = "Memory by account";
  chart.description = memory_sentence(trace, budget);
  chart.x_label = trace.timed ? "seconds, by the plan" : "allocations and releases";
  chart.y_label = peak >= 0x1p30 ? "GiB" : peak >= 0x1p20 ? "MiB" : "KiB";
  for (const Account account : accounts) {
    chart.layers.push_back(
        {std::string(name_of(account)), join("area", static_cast<std::size_t>(account) % kColours)});
  }
  for (const MemoryTrace::Point& point : trace.points) {
    AreaChart::Point& p = chart.points.emplace_back(AreaChart::Point{point.x, {}});
    for (const Account account : accounts)
      p.heights.push_back(static_cast<double>(held(point, account)) / unit);
  }
  for (const MemoryTrace::Mark& mark : trace.marks) chart.marks.emplace_back(mark.x, mark.name);
  if (budget > 0) {
    chart.limit = static_cast<double>(budget) / unit;
    chart.limit_name = "budget " + format_bytes(budget);
  }
  return render_area_chart(chart);
}

std::string memory_sentence(const MemoryTrace& trace, std::uint64_t budget) {
  if (accounts_of(trace).empty()) return "";
  const MemoryTrace::Point& peak = peak_of(trace);
  const std::string phase = phase_at(trace, peak.x);
  std::string text = join("At most ", format_bytes(peak.total()), " held at once");
  if (!phase.empty()) text += join(" (", phase, ")");
  if (trace.timed)
    text += join(", ", format_compact(peak.x), " s into a micro-step of ",
                 format_compact(trace.points.back().x), " s");
  if (budget > 0) text += join("; the budget is ", format_bytes(budget));
  return text + ". Gaps between tensors are not in these sums.";
}

std::vector<std::vector<std::string>> memory_at_peak(const MemoryTrace& trace) {
  std::vector<std::vector<std::string>> rows;
  if (trace.empty()) return rows;
  const MemoryTrace::Point& peak = peak_of(trace);
  for (const Account account : accounts_of(trace)) {
    if (held(peak, account) > 0)
      rows.push_back({std::string(name_of(account)), format_bytes(held(peak, account))});
  }
  if (!rows.empty()) rows.push_back({"in all", format_bytes(peak.total())});
  return rows;
}

}  // namespace rankine
