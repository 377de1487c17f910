// What no single key can tell: keys that need, exclude or bound each other.
#pragma once

#include "io/config/field.h"

namespace rankine::config {

// Adds a problem for every conflict in `config`. `reader.seen` says where each key was given.
void check_run_config(const RunConfig& config, Reader& reader);

}  // namespace rankine::config
