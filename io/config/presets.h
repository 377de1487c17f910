// Named sets of values for common jobs. A preset is a small run file of its own: its values stand below the
// keys of the user's file and above the defaults, and its comments give the reason for each value.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rankine::config {

struct Preset {
  std::string_view name;
  std::string_view doc;
  std::string_view yaml;
};

const std::vector<Preset>& presets();
std::vector<std::string> preset_names();
const Preset* find_preset(std::string_view name);  // null when there is none

}  // namespace rankine::config
