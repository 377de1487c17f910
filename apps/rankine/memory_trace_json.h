// A MemoryTrace in run.json:
//   {"timed": true, "accounts": ["weights", "tape"], "points": [[x, bytes, bytes], ...],
//    "marks": [[x, "forward"], ...]}
// with the accounts that hold anything at any time.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/core/memory_trace.h"

namespace rankine::app {

nlohmann::ordered_json to_json(const MemoryTrace& trace);
// Throws DataError, or an exception of the JSON library, for anything else. Points beyond kTracePoints are
// thinned out.
MemoryTrace memory_trace_from(const nlohmann::ordered_json& json);

}  // namespace rankine::app
