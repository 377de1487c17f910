#include "apps/rankine/machine.h"

#include <dlfcn.h>
#include <hwy/targets.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace rankine::app {
namespace {

// The number behind `field` in a file of "name: 12 kB" or "name 12" lines; 0 when it is not there.
std::uint64_t field_of(const char* file, const std::string& field) {
  std::ifstream in(file);
  std::string name;
  std::uint64_t value = 0;
  while (in >> name >> value) {
    if (name == field) return value;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

std::uint64_t number_in(const char* file, std::uint64_t otherwise) {
  std::uint64_t value = 0;
  return std::ifstream(file) >> value ? value : otherwise;
}

struct ContainerMemory {
  std::uint64_t limit = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t used = 0;  // without the page cache, which gives way
};

ContainerMemory container_memory() {
  constexpr std::uint64_t kNone = std::numeric_limits<std::uint64_t>::max();
  ContainerMemory m;
  std::uint64_t cache = 0;
  m.limit = number_in("/sys/fs/cgroup/memory.max", kNone);
  if (m.limit != kNone) {
    m.used = number_in("/sys/fs/cgroup/memory.current", 0);
    cache = field_of("/sys/fs/cgroup/memory.stat", "inactive_file");
  } else {
    m.limit = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", kNone);
    m.used = number_in("/sys/fs/cgroup/memory/memory.usage_in_bytes", 0);
    cache = field_of("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file");
  }
  m.used -= std::min(m.used, cache);
  return m;
}

}  // namespace

std::uint64_t total_memory() {
  return std::min(field_of("/proc/meminfo", "MemTotal:") * 1024, container_memory().limit);
}

std::uint64_t available_memory() {
  const ContainerMemory container = container_memory();
  const std::uint64_t left = container.limit - std::min(container.limit, container.used);
  return std::min(field_of("/proc/meminfo", "MemAvailable:") * 1024, left);
}

std::string processor_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    const std::size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string simd_target() {
  // The kernels are built for AVX2 and better (kernels/common); the lowest bit is the best target.
  const std::int64_t usable = hwy::SupportedTargets() & ~(HWY_SSSE3 | HWY_SSE4);
  return hwy::TargetName(usable & -usable);
}

std::string blas_library() {
  if (void* f = dlsym(RTLD_DEFAULT, "openblas_get_config")) return reinterpret_cast<const char* (*)()>(f)();
  return "a CBLAS that does not describe itself";
}

}  // namespace rankine::app
