// What loaders of models check before they stream weights.
#pragma once

#include "io/config/run_config.h"
#include "models/nn/weight_stream.h"

namespace rankine {

inline void require_frozen(const config::RunConfig& config, const WeightStreaming& streaming) {
  require<ConfigError>(streaming.units == 0 || config.model.method != config::Method::full,
                       "weight_streaming: weights that train (method: full) stay on the device");
}

}  // namespace rankine
