// Memory of cuda_runtime_api.h: the host's, with ground around every allocation that must not be touched.
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <mutex>

#include "kernels/emulator/graph.h"
#include "kernels/emulator/host_state.h"
#include "kernels/emulator/sanitizer.h"

namespace {

namespace emulator = rankine::emulator;
namespace sanitizer = emulator::sanitizer;
using rankine::emulator::host_state::set_error;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kFilled = std::size_t{16}
                                << 20;  // larger ones stay untouched: they may be reservations

struct Allocation {
  std::size_t bytes = 0;
  bool device = false;  // else page-locked host memory
  bool own = true;      // else registered: the caller's
};

std::mutex& guard() {
  static std::mutex mutex;
  return mutex;
}
std::map<std::uintptr_t, Allocation>& allocations() {
  static auto* all =
      new std::map<std::uintptr_t, Allocation>;  // outlives every static that frees memory late
  return *all;
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) set_error(error);
  return error;
}

std::size_t mapped(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage + 2 * kPage; }

cudaError_t allocate(void** p, std::size_t bytes, bool device) {
  *p = nullptr;
  if (emulator::anybody_records()) return result(cudaErrorStreamCaptureUnsupported);
  if (bytes == 0) return cudaSuccess;
  if (bytes > SIZE_MAX / 2) return result(cudaErrorMemoryAllocation);
  void* ground = mmap(nullptr, mapped(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (ground == MAP_FAILED) return result(cudaErrorMemoryAllocation);
  char* begin = static_cast<char*>(ground) + kPage;
  sanitizer::poison(ground, kPage);
  sanitizer::poison(begin + bytes, mapped(bytes) - kPage - bytes);
  if (device && bytes <= kFilled) std::memset(begin, 0xFF, bytes);
  const std::lock_guard lock(guard());
  allocations()[reinterpret_cast<std::uintptr_t>(begin)] = {bytes, device, true};
  *p = begin;
  return cudaSuccess;
}

cudaError_t release(void* p, bool device) {
  if (!p) return cudaSuccess;
  if (emulator::anybody_records()) return result(cudaErrorStreamCaptureUnsupported);
  const std::lock_guard lock(guard());
  const auto found = allocations().find(reinterpret_cast<std::uintptr_t>(p));
  if (found == allocations().end() || !found->second.own || found->second.device != device)
    return result(cudaErrorInvalidValue);
  const std::size_t bytes = mapped(found->second.bytes);
  char* ground = static_cast<char*>(p) - kPage;
  allocations().erase(found);
  sanitizer::unpoison(ground, bytes);
  munmap(ground, bytes);
  return cudaSuccess;
}

}  // namespace

namespace rankine::emulator::host_state {

Range allocation_of(std::uintptr_t address) {
  const std::lock_guard lock(guard());
  auto after = allocations().upper_bound(address);
  if (after == allocations().begin()) return {};
  --after;
  if (address - after->first >= after->second.bytes) return {};
  return {after->first, after->first + after->second.bytes};
}

Range nearest_allocation(std::uintptr_t address) {
  const std::lock_guard lock(guard());
  Range nearest;
  std::uintptr_t distance = UINTPTR_MAX;
  for (const auto& [begin, allocation] : allocations()) {
    const std::uintptr_t end = begin + allocation.bytes;
    const std::uintptr_t gap = address < begin ? begin - address : address < end ? 0 : address - end;
    if (gap >= distance) continue;
    distance = gap;
    nearest = {begin, end};
  }
  return nearest;
}

}  // namespace rankine::emulator::host_state

cudaError_t cudaMalloc(void** p, std::size_t bytes) { return allocate(p, bytes, true); }
cudaError_t cudaFree(void* p) { return release(p, true); }
cudaError_t cudaMallocHost(void** p, std::size_t bytes) { return allocate(p, bytes, false); }
cudaError_t cudaHostAlloc(void** p, std::size_t bytes, unsigned) { return allocate(p, bytes, false); }
cudaError_t cudaFreeHost(void* p) { return release(p, false); }

cudaError_t cudaHostRegister(void* p, std::size_t bytes, unsigned) {
  if (!p || bytes == 0) return result(cudaErrorInvalidValue);
  const std::lock_guard lock(guard());
  const bool added =
      allocations().try_emplace(reinterpret_cast<std::uintptr_t>(p), Allocation{bytes, false, false}).second;
  return result(added ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered);
}
cudaError_t cudaHostUnregister(void* p) {
  const std::lock_guard lock(guard());
  const auto found = allocations().find(reinterpret_cast<std::uintptr_t>(p));
  if (found == allocations().end() || found->second.own) return result(cudaErrorHostMemoryNotRegistered);
  allocations().erase(found);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  *total = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * page;
  *free = static_cast<std::size_t>(sysconf(_SC_AVPHYS_PAGES)) * page;
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  if (bytes == 0) return cudaSuccess;
  if (!to || !from) return result(cudaErrorInvalidValue);
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return result(cudaErrorInvalidMemcpyDirection);
  std::memmove(to, from, bytes);
  return cudaSuccess;
}
namespace {
void copy_now(void* to, const void* from, std::size_t bytes) {
  emulator::note("copy");
  std::memmove(to, from, bytes);
}
void fill_now(void* p, int value, std::size_t bytes) {
  emulator::note("fill");
  std::memset(p, value, bytes);
}
}  // namespace

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (emulator::record(stream, "copy", [=] { copy_now(to, from, bytes); })) return cudaSuccess;
  emulator::note("copy");
  return cudaMemcpy(to, from, bytes, kind);
}
cudaError_t cudaMemset(void* p, int value, std::size_t bytes) {
  if (bytes == 0) return cudaSuccess;
  if (!p) return result(cudaErrorInvalidValue);
  std::memset(p, value, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  if (emulator::record(stream, "fill", [=] { fill_now(p, value, bytes); })) return cudaSuccess;
  emulator::note("fill");
  return cudaMemset(p, value, bytes);
}
