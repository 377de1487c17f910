#include "apps/rankine/run_facts.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/rankine/memory_trace_json.h"
#include "engine/core/error.h"
#include "io/files/atomic_write.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

template <class T>
void take(const Json& json, const char* key, T& value) {
  if (const auto it = json.find(key); it != json.end() && !it->is_null()) it->get_to(value);
}

Json operations_to_json(const std::vector<OperationTime>& operations) {
  Json all = Json::array();
  for (const OperationTime& o : operations) {
    all.push_back({{"name", o.name},
                   {"calls", o.calls},
                   {"seconds", o.seconds},
                   {"flops", o.flops},
                   {"bytes", o.bytes}});
  }
  return all;
}

std::vector<OperationTime> operations_from_json(const Json& json) {
  std::vector<OperationTime> all;
  for (const Json& one : json) {
    OperationTime o;
    take(one, "name", o.name);
    take(one, "calls", o.calls);
    take(one, "seconds", o.seconds);
    take(one, "flops", o.flops);
    take(one, "bytes", o.bytes);
    all.push_back(o);
  }
  return all;
}

RunFacts from_json(const Json& json) {
  RunFacts f;
  take(json, "version", f.version);
  take(json, "model", f.model);
  take(json, "processor", f.processor);
  take(json, "started", f.started);
  take(json, "outcome", f.outcome);
  take(json, "message", f.message);
  take(json, "result", f.result);
  take(json, "steps", f.steps);
  take(json, "max_steps", f.max_steps);
  take(json, "parameters", f.parameters);
  take(json, "skipped", f.skipped);
  take(json, "seconds", f.seconds);
  if (json.contains("first_validation") && json["first_validation"].is_number())
    f.first_validation = json["first_validation"];
  take(json, "planned_peak_bytes", f.planned_peak);
  take(json, "measured_peak_bytes", f.measured_peak);
  take(json, "host_peak_bytes", f.host_peak);
  take(json, "planned_step_flops", f.planned_step_flops);
  take(json, "timings", f.timings);
  take(json, "dataset", f.dataset);
  take(json, "warnings", f.warnings);
  if (json.contains("operations")) f.operations = operations_from_json(json["operations"]);
  take(json, "budget_bytes", f.budget);
  if (const auto it = json.find("step_memory"); it != json.end() && !it->is_null())
    f.step_memory = memory_trace_from(*it);
  return f;
}

}  // namespace

void write_run_facts(const std::filesystem::path& run_dir, const RunFacts& f) {
  const Json json = {{"version", f.version},
                     {"model", f.model},
                     {"processor", f.processor},
                     {"started", f.started},
                     {"outcome", f.outcome},
                     {"message", f.message},
                     {"result", f.result},
                     {"steps", f.steps},
                     {"max_steps", f.max_steps},
                     {"parameters", f.parameters},
                     {"skipped", f.skipped},
                     {"seconds", f.seconds},
                     {"first_validation", f.first_validation ? Json(*f.first_validation) : Json()},
                     {"planned_peak_bytes", f.planned_peak},
                     {"measured_peak_bytes", f.measured_peak},
                     {"host_peak_bytes", f.host_peak},
                     {"planned_step_flops", f.planned_step_flops},
                     {"timings", f.timings},
                     {"dataset", f.dataset},
                     {"warnings", f.warnings},
                     {"operations", operations_to_json(f.operations)},
                     {"budget_bytes", f.budget},
                     {"step_memory", f.step_memory.empty() ? Json() : to_json(f.step_memory)}};
  write_file_atomically(run_dir / kRunFactsFile,
                        json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::optional<RunFacts> read_run_facts(const std::filesystem::path& run_dir) {
  const std::filesystem::path file = run_dir / kRunFactsFile;
  if (!std::filesystem::exists(file)) return std::nullopt;
  std::ifstream in(file);
  try {
    return from_json(Json::parse(in));
  } catch (const DataError& e) {
    throw DataError(join(file.string(), ": ", e.what()));
  } catch (const Json::exception& e) {
    throw DataError(join(file.string(), ": not a run's facts: ", e.what()));
  }
}

}  // namespace rankine::app
