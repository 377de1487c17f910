// A chart of areas that lie on each other, for amounts that hold until they change; like a Chart (chart.h)
// otherwise.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace rankine {

struct AreaLayer {
  std::string name;
  std::string style;  // CSS class beside "area": "area0" to "area7"
};

struct AreaChart {
  // From x on, until the next point, each layer is so high. The last one reaches to the end of the axis.
  struct Point {
    double x = 0;
    std::vector<double> heights;  // one per layer, not negative
  };

  std::string title;
  std::string description;  // for readers who do not see the picture
  std::string x_label;
  std::string y_label;
  std::vector<AreaLayer> layers;                      // the lowest first
  std::vector<Point> points;                          // x rising or equal
  std::optional<double> limit;                        // a line across
  std::string limit_name;                             // "budget 22.0 GiB"
  std::vector<std::pair<double, std::string>> marks;  // lines upright, with a text
};

// <figure> with a caption, a legend and an <svg> as wide as the page; an empty text without a point or a
// layer. A limit of more than four times the highest point is only named, so that there is something to see
// below it.
std::string render_area_chart(const AreaChart& chart);

}  // namespace rankine
