// A line chart as an SVG element, drawn with the classes and colours of the report's style sheet.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace rankine {

struct ChartLine {
  std::string name;
  std::string style;  // CSS class: "raw", "smooth", "second", "plan"
  std::vector<std::pair<double, double>>
      points;  // (x, y), x rising; y that is not finite makes a gap and a red mark
};

struct Chart {
  std::string title;
  std::string x_label;
  std::string y_label;
  std::vector<ChartLine> lines;
  bool from_zero = false;  // the y axis starts at 0
  bool wide = false;       // takes the whole width of the page instead of half
};

// Round tick positions that cover [low, high], about `count` of them: steps of 1, 2 or 5 times a power of
// ten.
std::vector<double> nice_ticks(double low, double high, int count);

// At most `limit` points: of every group of neighbours the smallest and the largest stay, so that no spike is
// lost.
std::vector<std::pair<double, double>> thin_out(const std::vector<std::pair<double, double>>& points,
                                                std::size_t limit);

// <figure> with a caption, a legend and an <svg>; an empty text when no line has a finite point. The y range
// follows the bulk of the values: rare spikes of a line called "raw" are cut off at the border.
std::string render_chart(const Chart& chart);

}  // namespace rankine
