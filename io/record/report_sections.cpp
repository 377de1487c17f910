#include "io/record/report_sections.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "engine/core/error.h"
#include "io/record/chart.h"
#include "io/record/html.h"
#include "io/record/progress.h"
#include "io/record/report_memory.h"
#include "io/record/smoothing.h"

namespace rankine {
namespace {

using Points = std::vector<std::pair<double, double>>;

std::string section(std::string_view title, std::string_view body) {
  return join("<section><h2>", escape_html(title), "</h2>\n", body, "</section>\n");
}

// "12", "-0.5", "3.2 GiB", "95 %": text that is read by comparing digits.
bool is_number_like(const std::string& text) {
  constexpr std::size_t kLongest = 14;
  const std::size_t digit = text.find_first_of("0123456789");
  const bool signed_digit = digit == 1 && (text[0] == '-' || text[0] == '+');
  return text.size() <= kLongest && (digit == 0 || signed_digit);
}

std::string rows_of(const std::vector<std::vector<std::string>>& rows) {
  std::string out;
  for (const auto& row : rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const bool number = i > 0 && is_number_like(row[i]);
      out += join(number ? "<td class=\"number\">" : "<td>", escape_html(row[i]), "</td>");
    }
    out += "</tr>\n";
  }
  return out;
}

std::string table_of_rows(const std::vector<std::string>& columns,
                          const std::vector<std::vector<std::string>>& rows) {
  std::string head;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const bool number = i > 0 && !rows.empty() && i < rows[0].size() && is_number_like(rows[0][i]);
    head += join(number ? "<th scope=\"col\" class=\"number\">" : "<th scope=\"col\">",
                 escape_html(columns[i]), "</th>");
  }
  if (!head.empty()) head = join("<thead><tr>", head, "</tr></thead>");
  return join("<div class=\"scroll\"><table>", head, "<tbody>\n", rows_of(rows), "</tbody></table></div>\n");
}

std::string key_value_table(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string out;
  for (const auto& [key, value] : pairs)
    out += join("<tr><th scope=\"row\">", escape_html(key), "</th><td>", escape_html(value), "</td></tr>\n");
  return join("<div class=\"scroll\"><table class=\"pairs\"><tbody>\n", out, "</tbody></table></div>\n");
}

std::string picture(const std::optional<std::string>& png, std::string_view label,
                    const std::string& prompt) {
  if (!png)
    return join("<figure><div class=\"none\">no picture</div><figcaption>", label, "</figcaption></figure>");
  return join("<figure><img alt=\"", escape_html(prompt), "\" src=\"data:image/png;base64,", base64(*png),
              "\"><figcaption>", label, "</figcaption></figure>");
}

template <class F>
Points points_of(const std::vector<StepMetrics>& metrics, const F& value) {
  Points points;
  points.reserve(metrics.size());
  for (const StepMetrics& m : metrics) points.emplace_back(static_cast<double>(m.step), value(m));
  return points;
}

// The window grows with the run, so that a long curve is as calm as a short one.
Points smoothed(const Points& points) {
  const double window = std::clamp(static_cast<double>(points.size()) / 25, 5.0, 200.0);
  MovingAverage average(1 - 1 / window);
  Points out;
  for (const auto& [x, y] : points) {
    average.add(y);
    if (std::isfinite(y)) out.emplace_back(x, average.value());
  }
  return out;
}

std::string loss_chart(const ReportData& data) {
  const Points loss = points_of(data.metrics, [](const StepMetrics& m) { return m.loss; });
  Chart chart{"Loss", "step", "", {{"each step", "raw", loss}, {"smoothed", "smooth", smoothed(loss)}}};
  chart.wide = true;
  if (!data.validation_loss.empty()) chart.lines.push_back({"validation", "second", data.validation_loss});
  return render_chart(chart);
}

std::string memory_chart(const ReportData& data) {
  const auto gib = [](std::uint64_t bytes) { return static_cast<double>(bytes) / 0x1p30; };
  const bool known = std::any_of(data.metrics.begin(), data.metrics.end(),
                                 [](const StepMetrics& m) { return m.peak_memory_bytes > 0; });
  if (!known) return "";
  return render_chart(
      {"Memory",
       "step",
       "GiB",
       {{"in use", "smooth",
         points_of(data.metrics, [&](const StepMetrics& m) { return gib(m.memory_bytes); })},
        {"peak", "second",
         points_of(data.metrics, [&](const StepMetrics& m) { return gib(m.peak_memory_bytes); })}},
       true});
}

// "+12 %" of after against before; empty when it means nothing.
std::string change_of(const ReportScore& score) {
  if (!score.before || *score.before == 0 || !std::isfinite(score.after)) return "";
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f %%", 100 * (score.after - *score.before) / std::abs(*score.before));
  return text;
}

std::string_view change_class(const ReportScore& score) {
  if (!score.before || score.after == *score.before) return "";
  return (score.after > *score.before) == score.higher_is_better ? "good" : "poor";
}

std::string with_unit(double value, const std::string& unit) {
  return format_compact(value) + (unit.empty() ? "" : " " + unit);
}

}  // namespace

std::string report_head(const ReportData& data) {
  const char* outcome = data.outcome == RunOutcome::finished  ? "finished"
                        : data.outcome == RunOutcome::stopped ? "stopped"
                                                              : "failed";
  std::string out =
      join("<header><h1>", escape_html(data.title), " <span class=\"badge ", outcome, "\">", outcome,
           "</span></h1>\n<p class=\"subtitle\">", escape_html(data.subtitle), "</p>\n");
  if (!data.outcome_text.empty()) out += join("<p>", escape_html(data.outcome_text), "</p>\n");
  if (!data.summary.empty()) {
    out += "<dl class=\"tiles\">";
    for (const auto& [name, value] : data.summary)
      out += join("<div><dt>", escape_html(name), "</dt><dd>", escape_html(value), "</dd></div>");
    out += "</dl>\n";
  }
  for (const std::string& warning : data.warnings)
    out += join("<p class=\"warning\"><b>Warning</b> ", escape_html(warning), "</p>\n");
  return out + "</header>\n";
}

std::string report_samples(const ReportData& data) {
  std::string body;
  for (const ReportSample& sample : data.samples) {
    body += join("<article class=\"sample\"><p class=\"prompt\">", escape_html(sample.prompt),
                 "</p><p class=\"details\">", escape_html(sample.details), "</p><div class=\"pair\">",
                 picture(sample.before_png, "before", sample.prompt),
                 picture(sample.after_png, "after", sample.prompt), "</div></article>\n");
  }
  return body.empty() ? "" : section("Samples", join("<div class=\"samples\">\n", body, "</div>\n"));
}

std::string report_scores(const ReportData& data) {
  if (data.scores.empty()) return "";
  std::string rows;
  for (const ReportScore& score : data.scores) {
    rows += join("<tr><th scope=\"row\">", escape_html(score.name), "<small>", escape_html(score.meaning),
                 score.meaning.empty() ? "" : "; ",
                 score.higher_is_better ? "higher is better" : "lower is better",
                 "</small></th><td class=\"number\">",
                 score.before ? escape_html(with_unit(*score.before, score.unit)) : std::string("–"),
                 "</td><td class=\"number\">", escape_html(with_unit(score.after, score.unit)),
                 "</td><td class=\"number ", change_class(score), "\">", change_of(score), "</td></tr>\n");
  }
  return section(
      "Scores",
      join("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">score</th><th class=\"number\">"
           "before</th><th class=\"number\">after</th><th class=\"number\">change</th></tr></thead><tbody>\n",
           rows, "</tbody></table></div>\n"));
}

std::string report_charts(const ReportData& data) {
  if (data.metrics.empty()) return "";
  const auto& metrics = data.metrics;
  const Points norm = points_of(metrics, [](const StepMetrics& m) { return m.grad_norm; });
  const Points speed = points_of(metrics, [](const StepMetrics& m) { return m.samples_per_second; });
  std::string body = loss_chart(data);
  body += render_chart({"Learning rate",
                        "step",
                        "",
                        {{"learning rate", "smooth",
                          points_of(metrics, [](const StepMetrics& m) { return m.learning_rate; })}},
                        true});
  body += render_chart({"Gradient norm",
                        "step",
                        "before clipping",
                        {{"each step", "raw", norm}, {"smoothed", "smooth", smoothed(norm)}},
                        true});
  body += render_chart({"Speed",
                        "step",
                        "pictures or trained tokens per second",
                        {{"each step", "raw", speed}, {"smoothed", "smooth", smoothed(speed)}},
                        true});
  body += memory_chart(data);
  return body.empty() ? "" : section("Course of the run", join("<div class=\"charts\">\n", body, "</div>\n"));
}

std::string report_step_memory(const ReportData& data) {
  const std::string figure = memory_figure(data.step_memory, data.budget_bytes);
  if (figure.empty()) return "";
  return section("Memory of one step, as planned",
                 join("<p>", escape_html(memory_sentence(data.step_memory, data.budget_bytes)), "</p>\n",
                      figure, table_of_rows({"account", "at the peak"}, memory_at_peak(data.step_memory))));
}

std::string report_plan(const ReportData& data) {
  std::vector<std::vector<std::string>> rows;
  for (const ReportPlan& plan : data.plan) {
    char ratio[32] = "";
    if (plan.planned > 0) std::snprintf(ratio, sizeof ratio, "%.1f %%", 100 * plan.measured / plan.planned);
    rows.push_back(
        {plan.name, with_unit(plan.planned, plan.unit), with_unit(plan.measured, plan.unit), ratio});
  }
  return rows.empty() ? ""
                      : section("Plan and measurement",
                                table_of_rows({"", "planned", "measured", "measured / planned"}, rows));
}

std::string report_timings(const ReportData& data) {
  double total = 0;
  double largest = 0;
  for (const auto& [phase, seconds] : data.timings) {
    total += seconds;
    largest = std::max(largest, seconds);
  }
  if (!(total > 0)) return "";
  std::string rows;
  for (const auto& [phase, seconds] : data.timings) {
    char share[64];
    std::snprintf(share, sizeof share, "%.1f %%", 100 * seconds / total);
    char bar[64];
    std::snprintf(bar, sizeof bar, "<rect class=\"bar\" width=\"%.2f\" height=\"8\"/>",
                  100 * seconds / largest);
    rows += join(
        "<tr><th scope=\"row\">", escape_html(phase), "</th><td class=\"number\">",
        seconds < 10 ? format_compact(seconds) + " s" : format_duration(seconds),
        "</td><td class=\"number\">", share,
        "</td><td class=\"wide\"><svg viewBox=\"0 0 100 8\" preserveAspectRatio=\"none\" class=\"share\">",
        bar, "</svg></td></tr>\n");
  }
  return section("Time", join("<div class=\"scroll\"><table><tbody>\n", rows, "</tbody></table></div>\n"));
}

std::string report_dataset(const ReportData& data) {
  return data.dataset.empty() ? "" : section("Data", key_value_table(data.dataset));
}

std::string report_config(const ReportData& data) {
  if (data.config.empty()) return "";
  return section("Configuration", join("<details><summary>", data.config.size(), " keys</summary>\n",
                                       key_value_table(data.config), "</details>\n"));
}

std::string report_table(const ReportTable& table) {
  const std::string note = table.note.empty() ? "" : join("<p>", escape_html(table.note), "</p>\n");
  return section(table.title, note + table_of_rows(table.columns, table.rows));
}

}  // namespace rankine
