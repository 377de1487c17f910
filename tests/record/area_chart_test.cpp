// Stacked areas, and the memory of a step drawn with them.
#include "io/record/area_chart.h"

#include <gtest/gtest.h>

#include <stdexcept>

#include "io/record/report.h"
#include "io/record/report_memory.h"

namespace rankine {
namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

AreaChart two_layers() {
  AreaChart chart;
  chart.title = "Memory";
  chart.description = "what it shows";
  chart.x_label = "seconds";
  chart.y_label = "GiB";
  chart.layers = {{"weights", "area0"}, {"tape", "area4"}};
  chart.points = {{0, {2, 0}}, {1, {2, 2}}, {3, {2, 1}}, {4, {2, 0}}};
  return chart;
}

TEST(AreaChartTest, LayersLieOnEachOtherAndHoldUntilTheyChange) {
  const std::string svg = render_area_chart(two_layers());
  // The plot is 934 wide and 186 high; 4 of 4.16 is the highest point.
  EXPECT_TRUE(contains(svg, "d=\"M0.0 96.6H934.0V186.0H0.0Z\"")) << svg;
  EXPECT_TRUE(contains(svg, "d=\"M0.0 96.6H233.5V7.2H700.5V51.9H934.0V96.6H934.0V96.6H0.0Z\"")) << svg;
  EXPECT_TRUE(contains(svg, "aria-label=\"what it shows\""));
  EXPECT_TRUE(contains(svg, ">seconds</text>"));
  EXPECT_TRUE(contains(svg, "<small>GiB</small>"));
  EXPECT_TRUE(contains(svg, "<i class=\"area area0\"></i>weights"));
  EXPECT_TRUE(contains(svg, "<i class=\"area area4\"></i>tape"));
  EXPECT_EQ(count(svg, "<path"), 2U);
  EXPECT_FALSE(contains(svg, "class=\"limit\""));
}

TEST(AreaChartTest, ALimitIsALineOrAWord) {
  AreaChart chart = two_layers();
  chart.limit = 8;
  chart.limit_name = "budget 8 GiB";
  std::string svg = render_area_chart(chart);
  EXPECT_TRUE(contains(svg, "<line class=\"limit\" x1=\"0\" x2=\"934\" y1=\"7.2\" y2=\"7.2\"/>")) << svg;
  EXPECT_TRUE(contains(svg, "</i>budget 8 GiB</span>"));
  chart.limit = 17;  // it would leave the areas a quarter of the height and less
  svg = render_area_chart(chart);
  EXPECT_FALSE(contains(svg, "<line class=\"limit\""));
  EXPECT_TRUE(contains(svg, "budget 8 GiB (above the chart)"));
  EXPECT_TRUE(contains(svg, "d=\"M0.0 96.6H934.0V186.0H0.0Z\""));
  chart.limit = 3;  // below what is held
  EXPECT_TRUE(contains(render_area_chart(chart), "y1=\"51.9\""));
}

TEST(AreaChartTest, MarksHaveNamesThatDoNotCoverEachOther) {
  AreaChart chart = two_layers();
  chart.marks = {{0, "forward"}, {0.05, "<loss>"}, {2, "backward"}, {4, ""}};
  const std::string svg = render_area_chart(chart);
  EXPECT_EQ(count(svg, "<line class=\"mark\""), 4U);
  EXPECT_TRUE(contains(svg, "y=\"11\">forward</text>"));
  EXPECT_TRUE(contains(svg, "y=\"24\">&lt;loss&gt;</text>"));
  EXPECT_TRUE(contains(svg, "y=\"11\">backward</text>"));
  chart.marks.assign(1000, {1, "again"});
  EXPECT_LE(count(render_area_chart(chart), ">again</text>"), 4U);
}

TEST(AreaChartTest, NothingOnePointAndZeros) {
  EXPECT_EQ(render_area_chart({}), "");
  AreaChart chart = two_layers();
  chart.points.clear();
  EXPECT_EQ(render_area_chart(chart), "");
  chart.points = {{5, {1, 1}}};
  EXPECT_TRUE(contains(render_area_chart(chart), "d=\"M0.0 96.6H934.0V186.0H0.0Z\""));
  chart.points = {{0, {0, 0}}, {0, {0, 0}}};
  const std::string flat = render_area_chart(chart);
  EXPECT_EQ(count(flat, "<path"), 2U);
  EXPECT_FALSE(contains(flat, "nan"));
  EXPECT_FALSE(contains(flat, "inf"));
  chart.points = {{0, {1}}};
  EXPECT_THROW(render_area_chart(chart), std::logic_error);
}

MemoryTrace some_trace() {
  MemoryTrace trace;
  trace.timed = true;
  const auto point = [&](double x, std::uint64_t weights, std::uint64_t tape, std::uint64_t mapped) {
    MemoryTrace::Point p{x, {}};
    p.held[static_cast<std::size_t>(Account::weights)] = weights << 20;
    p.held[static_cast<std::size_t>(Account::tape)] = tape << 20;
    p.held[static_cast<std::size_t>(Account::mapped)] = mapped << 20;
    trace.points.push_back(p);
  };
  point(0, 100, 0, 5000);
  point(0.5, 100, 150, 5000);
  point(1.5, 100, 0, 5000);
  trace.marks = {{0, "forward"}, {0.75, "backward"}, {1.5, ""}};
  return trace;
}

TEST(ReportMemoryTest, SaysInWordsWhatItDraws) {
  const MemoryTrace trace = some_trace();
  const std::string sentence = memory_sentence(trace, 400 << 20);
  EXPECT_EQ(sentence,
            "At most 250.0 MiB held at once (forward), 0.5000 s into a micro-step of 1.500 s; the budget is "
            "400.0 MiB. Gaps between tensors are not in these sums.");
  const std::string figure = memory_figure(trace, 400 << 20);
  EXPECT_TRUE(contains(figure, "aria-label=\"" + sentence));
  EXPECT_TRUE(contains(figure, "<small>MiB</small>"));
  EXPECT_TRUE(contains(figure, "weights"));
  EXPECT_FALSE(contains(figure, "mapped")) << "no memory of the device";
  EXPECT_FALSE(contains(figure, "optimizer")) << "it never held anything";
  EXPECT_TRUE(contains(figure, ">backward</text>"));
  EXPECT_TRUE(contains(figure, "budget 400.0 MiB"));
  EXPECT_EQ(memory_at_peak(trace),
            (std::vector<std::vector<std::string>>{
                {"weights", "100.0 MiB"}, {"tape", "150.0 MiB"}, {"in all", "250.0 MiB"}}));
}

TEST(ReportMemoryTest, IsAPartOfTheReportOnlyWithATrace) {
  ReportData data;
  data.title = "run";
  EXPECT_FALSE(contains(render_report(data), "Memory of one step"));
  data.step_memory = some_trace();
  const std::string html = render_report(data);
  EXPECT_TRUE(contains(html, "<h2>Memory of one step, as planned</h2>"));
  EXPECT_EQ(count(html, "<figure class=\"chart\">"), 1U);
  EXPECT_TRUE(contains(html, "<td>tape</td><td class=\"number\">150.0 MiB</td>"));
  EXPECT_FALSE(contains(html, "the budget is"));
  // Every colour that an account may have is in both schemes.
  for (int i = 0; i < 8; ++i) EXPECT_EQ(count(html, "--area" + std::to_string(i) + ":"), 2U) << i;
  data.step_memory = {};
  data.step_memory.points = {{0, {}}};  // nothing was held
  EXPECT_FALSE(contains(render_report(data), "Memory of one step"));
}

}  // namespace
}  // namespace rankine
