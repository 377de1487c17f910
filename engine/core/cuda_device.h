// What the core needs of the CUDA runtime, named without its headers. Defined in builds with CUDA alone
// (build::cuda); on such a build without a driver every call throws Error with the runtime's own reason.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/memory.h"

struct CUevent_st;
struct CUgraphExec_st;

namespace rankine::cuda {

// Device memory of one fixed size; kUnlimited is nine tenths of what is free now.
std::unique_ptr<Backing> make_backing(Device device, std::size_t capacity);

// A stream of `device`, destroyed with its last owner. Work on it may still run then.
std::shared_ptr<CUstream_st> make_stream(Device device);

// Bytes between host and device, or within the device, in the order of `stream`. Host memory must stay as it
// is until `synchronize`.
void copy_bytes(CudaStream stream, void* to, const void* from, std::size_t bytes);
void synchronize(CudaStream stream);
// `work` on a thread of the driver when its turn on `stream`, or in a launched graph, has come; it must still
// be there then, and may call nothing of CUDA.
void call_on_host(CudaStream stream, const std::function<void()>& work);

// A point of a stream's order.
using CudaEvent = std::shared_ptr<CUevent_st>;
CudaEvent record_event(CudaStream stream);
void wait_for(CudaStream stream, const CudaEvent& event);
// Events with a time, and the seconds from one to the other; waits for the second.
CudaEvent record_timed_event(CudaStream stream);
double seconds_between(const CudaEvent& from, const CudaEvent& to);
bool reached(const CudaEvent& event);
void synchronize(const CudaEvent& event);

// Page-locked memory of the host: what the device reads and writes while the program goes on.
std::shared_ptr<std::byte> pinned_bytes(std::size_t bytes);

// What `work` queues on `stream`, and on streams that it makes wait for events of it and be waited for, as a
// graph: nothing is run. Work that allocates device memory or waits for the device fails. Throws what `work`
// throws.
std::shared_ptr<CUgraphExec_st> record_graph(CudaStream stream, const std::function<void()>& work);
bool recording(CudaStream stream);
void launch_graph(const std::shared_ptr<CUgraphExec_st>& graph, CudaStream stream);

int device_count();  // 0 without a driver
std::size_t free_memory(Device device);

// What there is, for people; throws nothing.
struct DeviceFacts {
  std::string name;
  int architecture = 0;  // 86 of compute capability 8.6; 0 where the device does not answer
  int multiprocessors = 0;
  std::size_t total = 0, free = 0;  // bytes of memory; free: 0 where it was not asked for or not told
};
struct DriverFacts {
  int driver = 0, runtime = 0;  // versions of CUDA, 13000 of 13.0: what the driver can, and this build's
  std::string problem;          // the runtime's reason when there is no device
  std::vector<DeviceFacts> devices;
};
// list_devices() leaves `free` at 0; describe() opens every device for it, which takes a second and some of
// its memory.
DriverFacts list_devices();
DriverFacts describe();
// Kernels are built for this architecture and, as PTX, for later ones.
inline constexpr int kOldestArchitecture = 86;

}  // namespace rankine::cuda
