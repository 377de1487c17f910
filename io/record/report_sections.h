// The parts of report.html. Each returns a <section>, or an empty text when there is nothing to show.
#pragma once

#include <string>

#include "io/record/report.h"

namespace rankine {

std::string report_head(const ReportData& data);  // <header>: title, outcome, tiles, warnings
std::string report_samples(const ReportData& data);
std::string report_scores(const ReportData& data);
std::string report_charts(const ReportData& data);
std::string report_step_memory(const ReportData& data);
std::string report_plan(const ReportData& data);
std::string report_timings(const ReportData& data);
std::string report_dataset(const ReportData& data);
std::string report_config(const ReportData& data);
std::string report_table(const ReportTable& table);

}  // namespace rankine
