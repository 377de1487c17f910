#include "io/record/chart_axes.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "engine/core/error.h"
#include "io/record/chart.h"
#include "io/record/html.h"

namespace rankine {

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

namespace {

// Labels of one axis have the same form: as many digits as the step between ticks needs, or an exponent.
std::string tick_label(double value, double step, const Range& range) {
  const double size = std::max(std::abs(range.low), std::abs(range.high));
  if (value == 0) return "0";
  if (size < 1e-3 || size >= 1e6) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1e", value);
    return text;
  }
  return fixed(value, std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 6));
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int count) {
  if (!(low < high) || count < 1) return {low};
  const double rough = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double digit = rough / power;
  const double step = power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
  std::vector<double> ticks;
  const double slack = step * 1e-9;
  for (double k = std::ceil((low - slack) / step); k * step <= high + slack; ++k)
    ticks.push_back(k == 0 ? 0 : k * step);
  return ticks;
}

std::string render_axes(const ChartFrame& frame, const Range& xs, const Range& ys) {
  using F = ChartFrame;
  constexpr double kLeft = F::kLeft, kRight = F::kRight, kTop = F::kTop, kBottom = F::kBottom;
  constexpr double kHeight = F::kHeight, kPlotHeight = F::kPlotHeight;
  std::string out;
  const double right = frame.width - kRight;
  const std::vector<double> rows = nice_ticks(ys.low, ys.high, 5);
  const std::vector<double> columns = nice_ticks(xs.low, xs.high, frame.width > F::kHalf ? 12 : 6);
  const double row_step = rows.size() > 1 ? rows[1] - rows[0] : 1;
  const double column_step = columns.size() > 1 ? columns[1] - columns[0] : 1;
  for (const double value : rows) {
    const double y = kTop + kPlotHeight * (1 - ys.share(value));
    out += join("<line class=\"grid\" x1=\"", kLeft, "\" x2=\"", right, "\" y1=\"", fixed(y, 1), "\" y2=\"",
                fixed(y, 1), "\"/><text class=\"tick\" text-anchor=\"end\" x=\"", kLeft - 8, "\" y=\"",
                fixed(y + 4, 1), "\">", tick_label(value, row_step, ys), "</text>");
  }
  for (const double value : columns) {
    const double x = kLeft + frame.plot_width() * xs.share(value);
    out += join("<text class=\"tick\" text-anchor=\"middle\" x=\"", fixed(x, 1), "\" y=\"",
                kHeight - kBottom + 16, "\">", tick_label(value, column_step, xs), "</text>");
  }
  out += join("<line class=\"axis\" x1=\"", kLeft, "\" x2=\"", right, "\" y1=\"", kHeight - kBottom,
              "\" y2=\"", kHeight - kBottom, "\"/><text class=\"label\" text-anchor=\"end\" x=\"", right,
              "\" y=\"", kHeight - 3, "\">", escape_html(frame.x_label), "</text>");
  return out;
}

}  // namespace rankine
