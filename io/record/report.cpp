#include "io/record/report.h"

#include "engine/core/error.h"
#include "io/record/html.h"
#include "io/record/report_sections.h"
#include "io/record/report_style.h"

namespace rankine {

std::string render_report(const ReportData& data) {
  // The policy forbids everything but the page's own style and pictures, should a text ever slip through
  // unescaped.
  std::string page = join(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
      "style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
      escape_html(data.title), "</title>\n<style>", kReportStyle, "</style>\n</head>\n<body>\n<main>\n");
  page += report_head(data);
  page += report_samples(data);
  page += report_scores(data);
  page += report_charts(data);
  page += report_step_memory(data);
  page += report_plan(data);
  page += report_timings(data);
  page += report_dataset(data);
  page += report_config(data);
  for (const ReportTable& table : data.tables) page += report_table(table);
  page += join("<footer>", escape_html(data.footer), "</footer>\n</main>\n</body>\n</html>\n");
  return page;
}

}  // namespace rankine
