#include "apps/rankine/memory_trace_json.h"

#include <algorithm>

#include "engine/core/error.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

std::size_t account_named(const std::string& name) {
  for (int i = 0; i < kAccounts; ++i)
    if (name_of(static_cast<Account>(i)) == name) return static_cast<std::size_t>(i);
  throw DataError(join("memory trace: \"", name, "\" is no account"));
}

}  // namespace

Json to_json(const MemoryTrace& trace) {
  std::vector<std::size_t> accounts;
  for (std::size_t i = 0; i < kAccounts; ++i) {
    const auto holds = [&](const MemoryTrace::Point& p) { return p.held[i] > 0; };
    if (std::any_of(trace.points.begin(), trace.points.end(), holds)) accounts.push_back(i);
  }
  Json names = Json::array(), points = Json::array(), marks = Json::array();
  for (const std::size_t i : accounts) names.push_back(name_of(static_cast<Account>(i)));
  for (const MemoryTrace::Point& point : trace.points) {
    Json row = Json::array({point.x});
    for (const std::size_t i : accounts) row.push_back(point.held[i]);
    points.push_back(std::move(row));
  }
  for (const MemoryTrace::Mark& mark : trace.marks) marks.push_back(Json::array({mark.x, mark.name}));
  return {{"timed", trace.timed}, {"accounts", names}, {"points", points}, {"marks", marks}};
}

MemoryTrace memory_trace_from(const Json& json) {
  MemoryTrace trace;
  trace.timed = json.at("timed").get<bool>();
  std::vector<std::size_t> accounts;
  for (const Json& name : json.at("accounts")) accounts.push_back(account_named(name.get<std::string>()));
  for (const Json& row : json.at("points")) {
    require<DataError>(row.is_array() && row.size() == accounts.size() + 1, "memory trace: a point of ",
                       row.size(), " numbers for ", accounts.size(), " accounts");
    MemoryTrace::Point point{row[0].get<double>(), {}};
    require<DataError>(trace.points.empty() || point.x >= trace.points.back().x,
                       "memory trace: points are not in order");
    for (std::size_t i = 0; i < accounts.size(); ++i) {
      require<DataError>(row[i + 1].is_number_unsigned(), "memory trace: bytes that are no whole number");
      point.held[accounts[i]] = row[i + 1].get<std::uint64_t>();
    }
    trace.points.push_back(point);
  }
  for (const Json& mark : json.at("marks")) {
    require<DataError>(mark.is_array() && mark.size() == 2, "memory trace: a mark is [x, name]");
    trace.marks.push_back({mark[0].get<double>(), mark[1].get<std::string>()});
  }
  return thinned(trace, kTracePoints);
}

}  // namespace rankine::app
