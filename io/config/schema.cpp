#include "io/config/codec.h"

namespace rankine::config {

std::string run_config_schema() {
  Json schema{
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "Rankine run file"},
      {"description", "What to train, on what, and how. Relative paths mean the current working directory."}};
  schema.update(map_schema<RunConfig>());
  // What check_run_config says about keys that exclude each other.
  const auto needs = [](const char* key) { return Json{{"required", Json::array({key})}}; };
  schema["oneOf"] = Json::array({needs("base_model"), needs("new_model")});
  schema["not"] = Json{{"required", Json::array({"epochs", "max_steps"})}};
  return schema.dump(2) + "\n";
}

}  // namespace rankine::config
