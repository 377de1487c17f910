// Internal to peft_adapter: adapter_config.json.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "io/formats/peft_adapter.h"

namespace rankine::peft_detail {

std::string to_json(const PeftConfig& config);
PeftConfig read_config(const std::filesystem::path& path);

// Rank and scale of modules by their names.
class PeftScales {
 public:
  PeftScales(const PeftConfig& config, const std::string& where);
  ~PeftScales();
  PeftScales(const PeftScales&) = delete;
  PeftScales& operator=(const PeftScales&) = delete;

  int rank(const std::string& module) const;
  float scale(const std::string& module) const;

 private:
  struct Patterns;
  const PeftConfig& config_;
  std::unique_ptr<Patterns> patterns_;
};

}  // namespace rankine::peft_detail
