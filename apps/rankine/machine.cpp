#include "apps/rankine/machine.h"

#include <dlfcn.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>

#include "bench/roofline.h"

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

// Bytes read and written per second by copies of buffers far larger than the caches.
double copy_rate(ThreadPool& pool) {
  constexpr std::size_t kBytes = std::size_t{128} << 20;
  std::vector<char> from(kBytes, 1), to(kBytes, 2);
  const double seconds = bench::best_seconds([&] {
    pool.parallel_for(kBytes, 1, [&](std::int64_t begin, std::int64_t end) {
      std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
    });
  });
  return 2.0 * kBytes / seconds;
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

const std::vector<Card>& cards() {
  static const std::vector<Card> table{
      {"rtx3090", 71e12, 936e9, "data sheet, fp16 tensor cores with fp32 accumulation"},
      {"rtx4090", 165.2e12, 1008e9, "data sheet, fp16 tensor cores with fp32 accumulation"},
      {"h200", 780e12, 4300e9, "measured on one card, fp16 tensor cores"},
  };
  return table;
}

Card measure_cpu(int threads) {
  ThreadPool pool(threads);
  return {"cpu", bench::measure_sgemm_rate(pool).best(), copy_rate(pool), "measured just now, fp32"};
}

}  // namespace rankine::app
