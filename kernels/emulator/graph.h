// What a stream records while cudaStreamBeginCapture is in force: nodes, each with the nodes that must come
// before it, in the order of the calls. A graph is played in an order drawn from the seed among those that
// the dependencies allow: an event that was forgotten shows as wrong numbers, or as a race of memory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernels/emulator/include/cuda_runtime_api.h"
#include "kernels/emulator/include/emulator.h"

namespace rankine::emulator {

struct GraphNode {
  std::string name;  // of a launch its operation, else "copy" or "fill"
  std::function<void()> run;
  std::vector<int> after;
};

struct Capture {
  CUstream_st* origin = nullptr;
  std::vector<GraphNode> nodes;
  std::vector<CUstream_st*> streams;  // taking part
  bool spoilt = false;                // by a call that a recording cannot have
};

// Adds a node to the recording that `stream` takes part in; false when there is none.
bool record(CUstream_st* stream, std::string name, std::function<void()> run);
bool recording(CUstream_st* stream);
// A call that no recording survives was made: the error of that call.
cudaError_t spoil(CUstream_st* stream);
// Whether any stream of this thread is recording: cudaMalloc and cudaFree are then refused.
bool anybody_records();

// For Recording of emulator.h.
void note(const std::string& name);

}  // namespace rankine::emulator
