#include "io/record/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/core/error.h"
#include "io/record/html.h"

namespace rankine {
namespace {

using Point = std::pair<double, double>;

// The drawing, in units of about one pixel: labels around a plot that is full_width - kLeft - kRight wide.
constexpr double kHeight = 230;
constexpr double kLeft = 64;
constexpr double kRight = 12;
constexpr double kTop = 10;
constexpr double kBottom = 34;
constexpr double kPlotHeight = kHeight - kTop - kBottom;
constexpr std::size_t kMaxPoints = 1000;

struct Range {
  double low = 0;
  double high = 1;
  // Where `value` lies: 0 at the low end, 1 at the high end.
  double share(double value) const { return (value - low) / (high - low); }
};

double full_width(const Chart& chart) { return chart.wide ? 1010 : 500; }
double plot_width(const Chart& chart) { return full_width(chart) - kLeft - kRight; }

std::string fixed(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

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

Range x_range(const Chart& chart) {
  Range range{HUGE_VAL, -HUGE_VAL};
  for (const ChartLine& line : chart.lines) {
    for (const Point& point : line.points) {
      range.low = std::min(range.low, point.first);
      range.high = std::max(range.high, point.first);
    }
  }
  if (!(range.low < range.high)) range = {range.low - 1, range.low + 1};
  return range;
}

// The smallest and largest finite y, of a raw line without the outer hundredths.
Range line_range(const ChartLine& line) {
  std::vector<double> values;
  for (const Point& point : line.points)
    if (std::isfinite(point.second)) values.push_back(point.second);
  if (values.empty()) return {HUGE_VAL, -HUGE_VAL};
  std::sort(values.begin(), values.end());
  const std::size_t cut = line.style == "raw" ? values.size() / 100 : 0;
  return {values[cut], values[values.size() - 1 - cut]};
}

Range y_range(const Chart& chart) {
  Range range{HUGE_VAL, -HUGE_VAL};
  for (const ChartLine& line : chart.lines) {
    const Range own = line_range(line);
    range.low = std::min(range.low, own.low);
    range.high = std::max(range.high, own.high);
  }
  if (chart.from_zero) range.low = std::min(range.low, 0.0);
  if (!(range.low < range.high)) {
    const double margin = range.low == 0 ? 1 : std::abs(range.low) / 2;
    range = {range.low - margin, range.high + margin};
  }
  const double margin = (range.high - range.low) * 0.04;
  return {chart.from_zero ? range.low : range.low - margin, range.high + margin};
}

std::string line_path(const std::vector<Point>& points, const Range& xs, const Range& ys, double width) {
  std::string path;
  bool pen_down = false;
  for (const Point& point : points) {
    if (!std::isfinite(point.second)) {
      pen_down = false;
      continue;
    }
    // A spike far outside is drawn to just beyond the border, where the plot is clipped.
    const double y = std::clamp(kPlotHeight * (1 - ys.share(point.second)), -kPlotHeight, 2 * kPlotHeight);
    path += join(pen_down ? "L" : "M", fixed(width * xs.share(point.first), 1), " ", fixed(y, 1));
    pen_down = true;
  }
  return path;
}

std::string render_line(const ChartLine& line, const Range& xs, const Range& ys, double width) {
  const std::vector<Point> points = thin_out(line.points, kMaxPoints);
  std::string out = join("<path class=\"", line.style, "\" d=\"", line_path(points, xs, ys, width), "\"/>");
  const bool dots = points.size() <= 40;
  for (const Point& point : points) {
    const std::string x = fixed(width * xs.share(point.first), 1);
    if (!std::isfinite(point.second)) {
      out += join("<line class=\"bad\" x1=\"", x, "\" x2=\"", x, "\" y1=\"", fixed(kPlotHeight - 12, 0),
                  "\" y2=\"", fixed(kPlotHeight, 0), "\"/>");
    } else if (dots) {
      out += join("<circle class=\"", line.style, "\" cx=\"", x, "\" cy=\"",
                  fixed(kPlotHeight * (1 - ys.share(point.second)), 1), "\" r=\"2.5\"/>");
    }
  }
  return out;
}

std::string render_axes(const Chart& chart, const Range& xs, const Range& ys) {
  std::string out;
  const double right = full_width(chart) - kRight;
  const std::vector<double> rows = nice_ticks(ys.low, ys.high, 5);
  const std::vector<double> columns = nice_ticks(xs.low, xs.high, chart.wide ? 12 : 6);
  const double row_step = rows.size() > 1 ? rows[1] - rows[0] : 1;
  const double column_step = columns.size() > 1 ? columns[1] - columns[0] : 1;
  for (const double value : rows) {
    const double y = kTop + kPlotHeight * (1 - ys.share(value));
    out += join("<line class=\"grid\" x1=\"", kLeft, "\" x2=\"", right, "\" y1=\"", fixed(y, 1), "\" y2=\"",
                fixed(y, 1), "\"/><text class=\"tick\" text-anchor=\"end\" x=\"", kLeft - 8, "\" y=\"",
                fixed(y + 4, 1), "\">", tick_label(value, row_step, ys), "</text>");
  }
  for (const double value : columns) {
    const double x = kLeft + plot_width(chart) * xs.share(value);
    out += join("<text class=\"tick\" text-anchor=\"middle\" x=\"", fixed(x, 1), "\" y=\"",
                kHeight - kBottom + 16, "\">", tick_label(value, column_step, xs), "</text>");
  }
  out += join("<line class=\"axis\" x1=\"", kLeft, "\" x2=\"", right, "\" y1=\"", kHeight - kBottom,
              "\" y2=\"", kHeight - kBottom, "\"/><text class=\"label\" text-anchor=\"end\" x=\"", right,
              "\" y=\"", kHeight - 3, "\">", escape_html(chart.x_label), "</text>");
  return out;
}

std::string render_legend(const Chart& chart) {
  std::string out;
  for (const ChartLine& line : chart.lines)
    out += join("<span class=\"key\"><i class=\"", line.style, "\"></i>", escape_html(line.name), "</span>");
  return out;
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

std::vector<Point> thin_out(const std::vector<Point>& points, std::size_t limit) {
  if (points.size() <= limit || limit < 2) return points;
  const std::size_t groups = limit / 2;
  std::vector<Point> out;
  out.reserve(2 * groups);
  for (std::size_t g = 0; g < groups; ++g) {
    const auto first = points.begin() + static_cast<std::ptrdiff_t>(g * points.size() / groups);
    const auto last = points.begin() + static_cast<std::ptrdiff_t>((g + 1) * points.size() / groups);
    const auto bad = std::find_if(first, last, [](const Point& p) { return !std::isfinite(p.second); });
    if (bad != last) {  // a group with a value that is not finite shows that
      out.push_back(*bad);
      continue;
    }
    const auto by_y = [](const Point& a, const Point& b) { return a.second < b.second; };
    const auto ends = std::minmax_element(first, last, by_y);
    out.push_back(std::min(*ends.first, *ends.second));  // in the order of x
    if (ends.first != ends.second) out.push_back(std::max(*ends.first, *ends.second));
  }
  return out;
}

std::string render_chart(const Chart& chart) {
  const bool any = std::any_of(chart.lines.begin(), chart.lines.end(), [](const ChartLine& line) {
    return std::any_of(line.points.begin(), line.points.end(),
                       [](const Point& p) { return std::isfinite(p.second); });
  });
  if (!any) return "";
  const Range xs = x_range(chart);
  const Range ys = y_range(chart);
  std::string out =
      join("<figure class=\"chart\"><figcaption><b>", escape_html(chart.title), "</b> <small>",
           escape_html(chart.y_label), "</small>", render_legend(chart), "</figcaption><svg viewBox=\"0 0 ",
           full_width(chart), " ", kHeight, "\" role=\"img\" aria-label=\"", escape_html(chart.title), "\">",
           render_axes(chart, xs, ys));
  // A nested svg clips what lies outside the plot.
  out += join("<svg x=\"", kLeft, "\" y=\"", kTop, "\" width=\"", plot_width(chart), "\" height=\"",
              kPlotHeight, "\">");
  for (const ChartLine& line : chart.lines) out += render_line(line, xs, ys, plot_width(chart));
  return out + "</svg></svg></figure>\n";
}

}  // namespace rankine
