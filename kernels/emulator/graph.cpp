// Streams, events, and graphs of cuda_runtime_api.h.
#include "kernels/emulator/graph.h"

#include <algorithm>
#include <chrono>
#include <random>

#include "kernels/emulator/host_state.h"

using rankine::emulator::Capture;
using rankine::emulator::GraphNode;

struct CUstream_st {
  std::shared_ptr<Capture> capture;
  std::vector<int> last;  // nodes that the next one of this stream comes after
};
struct CUevent_st {
  bool recorded = false, timed = true;
  std::chrono::steady_clock::time_point at;
  std::weak_ptr<Capture> capture;  // of a recording: a set of nodes instead of a time
  bool of_capture = false;
  std::vector<int> after;
};
struct CUgraph_st {
  std::vector<GraphNode> nodes;
};
struct CUgraphExec_st {
  std::vector<GraphNode> nodes;
};

namespace rankine::emulator {
namespace {

thread_local int recordings = 0;
thread_local Recording* listener = nullptr;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) host_state::set_error(error);
  return error;
}

void add(std::vector<int>& to, const std::vector<int>& from) {
  for (const int node : from) {
    if (std::find(to.begin(), to.end(), node) == to.end()) to.push_back(node);
  }
}

// Every node is before the end of the origin stream, by way of other nodes or itself.
bool joined(const Capture& capture, const std::vector<int>& ends) {
  std::vector<bool> seen(capture.nodes.size(), false);
  std::vector<int> open = ends;
  while (!open.empty()) {
    const int node = open.back();
    open.pop_back();
    if (seen[node]) continue;
    seen[node] = true;
    add(open, capture.nodes[node].after);
  }
  return std::all_of(seen.begin(), seen.end(), [](bool s) { return s; });
}

void play(const std::vector<GraphNode>& nodes) {
  std::mt19937_64 random(seed());
  std::vector<int> waiting(nodes.size());
  std::vector<std::vector<int>> next(nodes.size());
  std::vector<int> ready;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    waiting[i] = static_cast<int>(nodes[i].after.size());
    for (const int before : nodes[i].after) next[before].push_back(static_cast<int>(i));
    if (waiting[i] == 0) ready.push_back(static_cast<int>(i));
  }
  while (!ready.empty()) {
    const std::size_t pick = seed() == 0 ? 0 : random() % ready.size();
    const int node = ready[pick];
    ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(pick));
    nodes[node].run();
    for (const int follower : next[node]) {
      if (--waiting[follower] == 0) ready.push_back(follower);
    }
  }
}

}  // namespace

bool recording(CUstream_st* stream) { return stream && stream->capture; }
bool anybody_records() { return recordings > 0; }

bool record(CUstream_st* stream, std::string name, std::function<void()> run) {
  if (!recording(stream)) return false;
  Capture& capture = *stream->capture;
  capture.nodes.push_back({std::move(name), std::move(run), stream->last});
  stream->last = {static_cast<int>(capture.nodes.size()) - 1};
  return true;
}

cudaError_t spoil(CUstream_st* stream) {
  stream->capture->spoilt = true;
  return result(cudaErrorStreamCaptureUnsupported);
}

void note(const std::string& name) {
  if (listener) listener->names_.push_back(name);
}

Recording::Recording() : before_(listener) { listener = this; }
Recording::~Recording() { listener = before_; }

}  // namespace rankine::emulator

using namespace rankine::emulator;  // NOLINT: what follows are functions of the global namespace

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  *stream = new CUstream_st;
  return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) { return cudaStreamCreate(stream); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  return cudaStreamCreate(stream);
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  if (!stream) return result(cudaErrorInvalidResourceHandle);
  if (recording(stream)) return spoil(stream);
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return recording(stream) ? spoil(stream) : cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) { return recording(stream) ? spoil(stream) : cudaSuccess; }

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (!event) return result(cudaErrorInvalidResourceHandle);
  if (!event->of_capture) return recording(stream) ? result(cudaErrorStreamCaptureIsolation) : cudaSuccess;
  const std::shared_ptr<Capture> capture = event->capture.lock();
  if (!stream || !capture) return result(cudaErrorInvalidValue);
  if (recording(stream) && stream->capture != capture) return result(cudaErrorStreamCaptureMerge);
  if (!recording(stream)) {  // joins
    stream->capture = capture;
    stream->last.clear();
    capture->streams.push_back(stream);
  }
  add(stream->last, event->after);
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t call, void* data) {
  if (!record(stream, "host", [=] { call(data); })) call(data);
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new CUevent_st;
  (*event)->timed = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event) return result(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (!event) return result(cudaErrorInvalidResourceHandle);
  event->of_capture = recording(stream);
  if (event->of_capture) {
    event->capture = stream->capture;
    event->after = stream->last;
    return cudaSuccess;
  }
  event->recorded = true;
  event->at = std::chrono::steady_clock::now();
  return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (!event) return result(cudaErrorInvalidResourceHandle);
  return result(event->of_capture ? cudaErrorCapturedEvent : cudaSuccess);
}
cudaError_t cudaEventQuery(cudaEvent_t event) { return cudaEventSynchronize(event); }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (!from || !to || !from->recorded || !to->recorded || !from->timed || !to->timed)
    return result(cudaErrorInvalidResourceHandle);
  *milliseconds = std::chrono::duration<float, std::milli>(to->at - from->at).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  if (!stream || recording(stream)) return result(cudaErrorIllegalState);
  stream->capture = std::make_shared<Capture>();
  stream->capture->origin = stream;
  stream->capture->streams = {stream};
  stream->last.clear();
  ++recordings;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = nullptr;
  if (!recording(stream) || stream->capture->origin != stream) return result(cudaErrorIllegalState);
  --recordings;
  const std::shared_ptr<Capture> capture = stream->capture;
  const std::vector<int> ends = stream->last;
  for (CUstream_st* s : capture->streams) s->capture.reset();
  if (capture->spoilt) return result(cudaErrorStreamCaptureInvalidated);
  if (!joined(*capture, ends)) return result(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes)};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  *status = !recording(stream)        ? cudaStreamCaptureStatusNone
            : stream->capture->spoilt ? cudaStreamCaptureStatusInvalidated
                                      : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  if (!graph) return result(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{graph->nodes};
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  if (!exec || recording(stream)) return result(cudaErrorInvalidValue);
  play(exec->nodes);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
