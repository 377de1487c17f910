// report.html: complete, self-contained, and safe whatever text it is given.
#include "io/record/report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "io/record/chart.h"
#include "io/record/html.h"
#include "tests/record/tiny_png.h"

namespace rankine {
namespace {

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

std::size_t count(const std::string& text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++n;
  return n;
}

ReportData some_data(const std::string& text) {
  ReportData data;
  data.title = data.subtitle = data.outcome_text = data.footer = text;
  data.summary = {{text, text}};
  data.warnings = {text};
  data.samples = {{text, text, std::string(kTinyPng), std::nullopt}};
  data.scores = {{text, text, 0.5, 0.75, true, text}, {text, "", std::nullopt, 2, false, ""}};
  for (int step = 1; step <= 300; ++step) {
    StepMetrics m;
    m.step = step;
    m.loss = 0.1 + 1.0 / step;
    m.learning_rate = 1e-4 * (1 - step / 300.0);
    m.grad_norm = 0.5;
    m.samples_per_second = 4;
    m.memory_bytes = 5ULL << 30;
    m.peak_memory_bytes = 6ULL << 30;
    data.metrics.push_back(m);
  }
  data.validation_loss = {{100, 0.2}, {200, 0.15}};
  data.timings = {{text, 12.5}, {text, 700}};
  data.plan = {{text, 6, 6.1, text}};
  data.dataset = {{text, text}};
  data.config = {{text, text}};
  data.tables = {{text, text, {text, text}, {{text, "12"}}}};
  return data;
}

// Every tag opens and closes in order; no attribute holds a raw quote or bracket. HTML's empty elements
// aside.
void expect_balanced(const std::string& html) {
  std::vector<std::string> open;
  for (std::size_t at = html.find('<'); at != std::string::npos; at = html.find('<', at + 1)) {
    const std::size_t end = html.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = html.substr(at + 1, end - at - 1);
    ASSERT_FALSE(tag.empty());
    const std::string name =
        tag.substr(tag[0] == '/' ? 1 : 0, tag.find_first_of(" \n", 1) - (tag[0] == '/' ? 1 : 0));
    const bool is_void = name == "meta" || name == "img" || name == "!DOCTYPE" || tag.back() == '/';
    if (is_void) continue;
    if (tag[0] != '/') {
      open.push_back(name);
      continue;
    }
    ASSERT_FALSE(open.empty()) << "unexpected </" << name << ">";
    ASSERT_EQ(open.back(), name);
    open.pop_back();
  }
  EXPECT_TRUE(open.empty());
}

TEST(ReportTest, HasEveryPart) {
  const std::string html = render_report(some_data("Füchse 🦊"));
  for (const char* part : {"<h1>Füchse 🦊", "badge finished", "Warning", "before", "no picture", "+50.0 %",
                           "Loss", "Learning rate", "Gradient norm", "Memory", "Speed", "validation",
                           "Plan and measurement", "101.7 %", "Time", "Data", "Configuration"})
    EXPECT_TRUE(contains(html, part)) << part;
  EXPECT_EQ(count(html, "<figure class=\"chart\">"), 5U);
  EXPECT_EQ(count(html, "src=\"data:image/png;base64,iVBORw0KGgo"), 1U);
  expect_balanced(html);
}

TEST(ReportTest, IsSelfContained) {
  const std::string html = render_report(some_data("x"));
  for (const char* part : {"<script", "http://", "https://", "url(", "@import", "<link", "<iframe"})
    EXPECT_FALSE(contains(html, part)) << part;
  EXPECT_TRUE(contains(html, "default-src 'none'"));
}

TEST(ReportTest, TextCannotBecomeMarkup) {
  const std::string attack = "\"><script>alert('x')</script><img src=x onerror=\"y\">&amp;\x01\xFF";
  const std::string html = render_report(some_data(attack));
  EXPECT_FALSE(contains(html, "<script"));
  EXPECT_FALSE(contains(html, "onerror=\""));
  EXPECT_FALSE(contains(html, "<img src=x"));
  EXPECT_FALSE(contains(html, "\x01"));
  EXPECT_FALSE(contains(html, "\xFF"));
  EXPECT_EQ(count(html, "&lt;script&gt;"), count(html, "onerror=&quot;"));
  EXPECT_GE(count(html, "&lt;script&gt;"), 20U);
  expect_balanced(html);
}

TEST(ReportTest, PartsWithoutDataAreLeftOut) {
  ReportData data;
  data.title = "empty";
  data.outcome = RunOutcome::failed;
  const std::string html = render_report(data);
  EXPECT_FALSE(contains(html, "<section"));
  EXPECT_FALSE(contains(html, "<svg"));
  EXPECT_TRUE(contains(html, "badge failed"));
  expect_balanced(html);
}

TEST(ReportTest, MetricsThatAreNotFiniteDoNotBreakTheCharts) {
  ReportData data = some_data("x");
  for (std::size_t i = 0; i < data.metrics.size(); i += 2) data.metrics[i].loss = NAN;
  data.metrics[5].grad_norm = HUGE_VAL;
  const std::string html = render_report(data);
  EXPECT_FALSE(contains(html, "nan"));
  EXPECT_FALSE(contains(html, "inf"));
  EXPECT_TRUE(contains(html, "class=\"bad\""));
  for (StepMetrics& m : data.metrics) m.loss = NAN;
  EXPECT_EQ(count(render_report(data), "<figure class=\"chart\">"),
            5U);  // the validation points are still there
}

TEST(HtmlTest, EscapesAndEncodes) {
  EXPECT_EQ(escape_html("a<b>&\"'\n"), "a&lt;b&gt;&amp;&quot;&#39;\n");
  EXPECT_EQ(escape_html("ü€🦊"), "ü€🦊");
  EXPECT_EQ(escape_html("a\xC0\xAF"), "a\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(escape_html(std::string_view("\0", 1)), "\xEF\xBF\xBD");
  EXPECT_EQ(base64(""), "");  // RFC 4648 section 10
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foob"), "Zm9vYg==");
  EXPECT_EQ(base64("\xFF\xFE\xFD"), "//79");
}

TEST(ChartTest, TicksAreRoundAndInside) {
  EXPECT_EQ(nice_ticks(0, 10, 5), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  const auto ticks = nice_ticks(-0.03, 0.11, 5);
  ASSERT_FALSE(ticks.empty());
  EXPECT_GE(ticks.front(), -0.03);
  EXPECT_LE(ticks.back(), 0.11);
  EXPECT_GE(ticks.size(), 3U);
  EXPECT_EQ(nice_ticks(3, 3, 5), std::vector<double>{3});
  EXPECT_LE(nice_ticks(1e-300, 1e300, 5).size(), 20U);
}

TEST(ChartTest, ThinningKeepsSpikesAndOrder) {
  std::vector<std::pair<double, double>> points;
  for (int i = 0; i < 100000; ++i) points.emplace_back(i, i == 54321 ? 100 : std::sin(i * 0.01));
  const auto thin = thin_out(points, 1000);
  EXPECT_LE(thin.size(), 1000U);
  EXPECT_GT(thin.size(), 900U);
  EXPECT_TRUE(std::is_sorted(thin.begin(), thin.end()));
  EXPECT_TRUE(std::find(thin.begin(), thin.end(), std::pair<double, double>(54321, 100)) != thin.end());
}

TEST(ChartTest, OnePointAndConstantsAreDrawn) {
  EXPECT_TRUE(contains(render_chart({"t", "x", "y", {{"a", "smooth", {{1, 5}}}}}), "<circle"));
  const std::string flat = render_chart({"t", "x", "y", {{"a", "smooth", {{1, 0}, {2, 0}}}}});
  EXPECT_TRUE(contains(flat, "<path"));
  EXPECT_FALSE(contains(flat, "nan"));
  EXPECT_EQ(render_chart({"t", "x", "y", {{"a", "smooth", {{1, NAN}}}}}), "");
}

}  // namespace
}  // namespace rankine
