// YAML text of values that came out of a Codec.
#pragma once

#include <string>

#include "io/config/field.h"

namespace rankine::config {

// On one line, in flow style; keys that are not set are left out.
std::string inline_yaml(const Json& value);

}  // namespace rankine::config
