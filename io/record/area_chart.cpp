#include "io/record/area_chart.h"

#include <algorithm>
#include <numeric>

#include "engine/core/error.h"
#include "io/record/chart_axes.h"
#include "io/record/html.h"

namespace rankine {
namespace {

constexpr double kHeight = ChartFrame::kPlotHeight;

struct Axes {
  ChartFrame frame;
  Range xs, ys;
  std::string x(double value) const { return fixed(frame.plot_width() * xs.share(value), 1); }
  std::string y(double value) const { return fixed(kHeight * (1 - ys.share(value)), 1); }
};

double highest(const AreaChart& chart) {
  double most = 0;
  for (const AreaChart::Point& point : chart.points)
    most = std::max(most, std::accumulate(point.heights.begin(), point.heights.end(), 0.0));
  return most;
}

bool shows_limit(const AreaChart& chart) {
  constexpr double kMostAbove = 4;
  return chart.limit && *chart.limit <= kMostAbove * highest(chart);
}

Axes axes_of(const AreaChart& chart) {
  Axes axes{{ChartFrame::kWide, chart.x_label}, {chart.points.front().x, chart.points.back().x}, {0, 0}};
  if (!(axes.xs.low < axes.xs.high)) axes.xs.high = axes.xs.low + 1;
  axes.ys.high = highest(chart);
  if (shows_limit(chart)) axes.ys.high = std::max(axes.ys.high, *chart.limit);
  axes.ys.high = axes.ys.high > 0 ? 1.04 * axes.ys.high : 1;
  return axes;
}

// Corners of the upper edge of the `count` lowest layers, left to right, without those on a straight line.
std::vector<std::pair<std::string, std::string>> steps_of(const AreaChart& chart, const Axes& axes,
                                                          std::size_t count) {
  std::vector<std::pair<std::string, std::string>> steps;
  for (const AreaChart::Point& point : chart.points) {
    const auto end = point.heights.begin() + static_cast<std::ptrdiff_t>(count);
    std::string y = axes.y(std::accumulate(point.heights.begin(), end, 0.0));
    if (steps.empty() || steps.back().second != y) steps.emplace_back(axes.x(point.x), std::move(y));
  }
  return steps;
}

// Along the upper edge to the right, along the lower one back.
std::string area_path(const AreaChart& chart, const Axes& axes, std::size_t layer) {
  const auto upper = steps_of(chart, axes, layer + 1), lower = steps_of(chart, axes, layer);
  std::string path = join("M", upper[0].first, " ", upper[0].second);
  for (std::size_t i = 1; i < upper.size(); ++i) path += join("H", upper[i].first, "V", upper[i].second);
  path += join("H", fixed(axes.frame.plot_width(), 1));
  for (auto it = lower.rbegin(); it != lower.rend(); ++it) path += join("V", it->second, "H", it->first);
  return path + "Z";
}

std::string render_marks(const AreaChart& chart, const Axes& axes) {
  constexpr double kLetter = 6, kRow = 13;
  constexpr int kRows = 4;
  std::string out;
  double free_at = 0;
  int row = 0;
  for (const auto& [at, name] : chart.marks) {
    const double x = axes.frame.plot_width() * axes.xs.share(at);
    out += join("<line class=\"mark\" x1=\"", fixed(x, 1), "\" x2=\"", fixed(x, 1), "\" y1=\"0\" y2=\"",
                kHeight, "\"/>");
    if (name.empty()) continue;
    row = x < free_at ? row + 1 : 0;  // below the text that it would cover
    free_at = std::max(free_at, x + kLetter * static_cast<double>(name.size() + 1));
    if (row >= kRows) continue;
    out += join("<text class=\"label\" x=\"", fixed(x + 4, 1), "\" y=\"", fixed(11 + kRow * row, 0), "\">",
                escape_html(name), "</text>");
  }
  return out;
}

std::string render_legend(const AreaChart& chart) {
  std::string out;
  for (const AreaLayer& layer : chart.layers) {
    out += join("<span class=\"key\"><i class=\"area ", layer.style, "\"></i>", escape_html(layer.name),
                "</span>");
  }
  if (chart.limit) {
    out += join("<span class=\"key\"><i class=\"limit\"></i>", escape_html(chart.limit_name),
                shows_limit(chart) ? "" : " (above the chart)", "</span>");
  }
  return out;
}

}  // namespace

std::string render_area_chart(const AreaChart& chart) {
  if (chart.points.empty() || chart.layers.empty()) return "";
  for (const AreaChart::Point& point : chart.points) {
    require<std::logic_error>(point.heights.size() == chart.layers.size(),
                              "area chart: ", point.heights.size(), " heights for ", chart.layers.size(),
                              " layers");
  }
  const Axes axes = axes_of(chart);
  std::string out =
      join("<figure class=\"chart\"><figcaption><b>", escape_html(chart.title), "</b> <small>",
           escape_html(chart.y_label), "</small>", render_legend(chart), "</figcaption><svg viewBox=\"0 0 ",
           axes.frame.width, " ", ChartFrame::kHeight, "\" role=\"img\" aria-label=\"",
           escape_html(chart.description), "\">", render_axes(axes.frame, axes.xs, axes.ys));
  out += join("<svg x=\"", ChartFrame::kLeft, "\" y=\"", ChartFrame::kTop, "\" width=\"",
              axes.frame.plot_width(), "\" height=\"", kHeight, "\">");
  for (std::size_t i = 0; i < chart.layers.size(); ++i) {
    out += join("<path class=\"area ", chart.layers[i].style, "\" d=\"", area_path(chart, axes, i), "\"/>");
  }
  if (shows_limit(chart)) {
    const std::string y = axes.y(*chart.limit);
    out += join("<line class=\"limit\" x1=\"0\" x2=\"", axes.frame.plot_width(), "\" y1=\"", y, "\" y2=\"", y,
                "\"/>");
  }
  return out + render_marks(chart, axes) + "</svg></svg></figure>\n";
}

}  // namespace rankine
