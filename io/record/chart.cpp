#include "io/record/chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/core/error.h"
#include "io/record/chart_axes.h"
#include "io/record/html.h"

namespace rankine {
namespace {

using Point = std::pair<double, double>;

constexpr double kPlotHeight = ChartFrame::kPlotHeight;
constexpr std::size_t kMaxPoints = 1000;

double full_width(const Chart& chart) { return chart.wide ? ChartFrame::kWide : ChartFrame::kHalf; }

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

std::string render_legend(const Chart& chart) {
  std::string out;
  for (const ChartLine& line : chart.lines)
    out += join("<span class=\"key\"><i class=\"", line.style, "\"></i>", escape_html(line.name), "</span>");
  return out;
}

}  // namespace

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
  const ChartFrame frame{full_width(chart), chart.x_label};
  std::string out =
      join("<figure class=\"chart\"><figcaption><b>", escape_html(chart.title), "</b> <small>",
           escape_html(chart.y_label), "</small>", render_legend(chart), "</figcaption><svg viewBox=\"0 0 ",
           full_width(chart), " ", ChartFrame::kHeight, "\" role=\"img\" aria-label=\"",
           escape_html(chart.title), "\">", render_axes(frame, xs, ys));
  // A nested svg clips what lies outside the plot.
  out += join("<svg x=\"", ChartFrame::kLeft, "\" y=\"", ChartFrame::kTop, "\" width=\"", frame.plot_width(),
              "\" height=\"", kPlotHeight, "\">");
  for (const ChartLine& line : chart.lines) out += render_line(line, xs, ys, frame.plot_width());
  return out + "</svg></svg></figure>\n";
}

}  // namespace rankine
