// What charts share: the frame of a drawing, ranges and axes.
#pragma once

#include <string>

namespace rankine {

// In units of about one pixel: labels around a plot.
struct ChartFrame {
  static constexpr double kWide = 1010, kHalf = 500;  // widths: of the page, and of one of two in a row
  static constexpr double kHeight = 230;
  static constexpr double kLeft = 64;
  static constexpr double kRight = 12;
  static constexpr double kTop = 10;
  static constexpr double kBottom = 34;
  static constexpr double kPlotHeight = kHeight - kTop - kBottom;

  double width = kHalf;
  std::string x_label;
  double plot_width() const { return width - kLeft - kRight; }
};

struct Range {
  double low = 0;
  double high = 1;
  // Where `value` lies: 0 at the low end, 1 at the high end.
  double share(double value) const { return (value - low) / (high - low); }
};

std::string fixed(double value, int digits);

// Grid, ticks with labels, and the label of the x axis.
std::string render_axes(const ChartFrame& frame, const Range& xs, const Range& ys);

}  // namespace rankine
