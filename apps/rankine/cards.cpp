#include "apps/rankine/cards.h"

#include <fmt/format.h>

#include <cctype>
#include <cstring>

#include "apps/rankine/disk_rate.h"
#include "apps/rankine/machine.h"
#include "bench/roofline.h"
#include "engine/core/error.h"
#include "io/config/suggest.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kGiB = std::size_t{1} << 30;
// Of a consumer card that also drives a screen: about half for the CUDA context with our kernels, half for
// the display.
constexpr std::size_t kReservedConsumer = kGiB, kReservedServer = kGiB / 2;
// Large products reach 0.90 to 0.93 of the rated FLOP/s on sm_86 and sm_89 (cuBLAS and hand-written mma.sync
// alike), copies 0.86 to 0.91 of the rated bandwidth (clpeak on an RTX 4090: 867 to 921 of 1008 GB/s).
constexpr double kSustainedFlops = 0.90, kSustainedBytes = 0.88;
// Between two kernels of a recorded graph; an assumption.
constexpr double kLaunch = 2e-6;
// PCIe 4.0 x16, page-locked, one way at a time: 24 to 27 GB/s measured on an RTX 4090; 5.0: 55 GB/s.
constexpr double kPcie4 = 25e9, kPcie5 = 55e9;
// A PCIe 4.0 NVMe drive past its cache of fast cells; an assumption, as no card brings a disk.
constexpr double kDisk = 3e9;

CardSpec consumer(const std::string& name, double peak_flops, double peak_bytes) {
  CardSpec spec;
  spec.card = {.name = name,
               .kind = DeviceKind::cuda,
               .memory = 24 * kGiB,
               .flops_per_second = kSustainedFlops * peak_flops,
               .bytes_per_second = kSustainedBytes * peak_bytes,
               .link_bytes_per_second = kPcie4,
               .file_bytes_per_second = kDisk,
               .launch_seconds = kLaunch,
               .source = fmt::format(
                   "sustained {:.0f} % of the rated {:.1f} TFLOP/s (16-bit, fp32 sums) and {:.0f} % of the "
                   "rated {:.0f} GB/s; link measured by others on PCIe 4.0 x16; disk and launch assumed",
                   100 * kSustainedFlops, peak_flops * 1e-12, 100 * kSustainedBytes, peak_bytes * 1e-9)};
  spec.reserved = kReservedConsumer;
  spec.peak_flops_per_second = peak_flops;
  spec.peak_bytes_per_second = peak_bytes;
  return spec;
}

CardSpec h200() {
  CardSpec spec;
  spec.card = {.name = "h200",
               .kind = DeviceKind::cuda,
               .memory = 140 * kGiB,
               .flops_per_second = 780e12,
               .bytes_per_second = 4300e9,
               .link_bytes_per_second = kPcie5,
               .file_bytes_per_second = kDisk,
               .launch_seconds = kLaunch,
               .source =
                   "large 16-bit products and copies as measured on such cards (rated 989 TFLOP/s, 4800 "
                   "GB/s); link measured by others on PCIe 5.0 x16; disk and launch assumed"};
  spec.reserved = kReservedServer;
  spec.peak_flops_per_second = 989e12;
  spec.peak_bytes_per_second = 4800e9;
  return spec;
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

bool looks_like_a_path(const std::string& text) {
  return text.find('/') != std::string::npos || text.ends_with(".yaml") || text.ends_with(".yml");
}

}  // namespace

const std::vector<CardSpec>& cards() {
  static const std::vector<CardSpec> table{consumer("rtx3090", 71e12, 936e9),
                                           consumer("rtx4090", 165.2e12, 1008e9), h200()};
  return table;
}

CardSpec card_for(const std::string& wanted) {
  std::vector<std::string> names{"cpu"};
  for (const CardSpec& spec : cards()) {
    if (spec.card.name == wanted) return spec;
    names.push_back(spec.card.name);
  }
  if (looks_like_a_path(wanted)) return config::load_card(wanted);
  const auto near = config::nearest(wanted, names);
  throw ConfigError(
      fmt::format("--gpu: no card is called '{}'{}; known: {}, or a YAML file that describes one", wanted,
                  near ? fmt::format(", did you mean {}?", *near) : "", fmt::join(names, ", ")));
}

const CardSpec* card_called(const std::string& device) {
  std::string name;
  for (const char letter : device) {
    if (letter != ' ') name += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  for (const CardSpec& spec : cards()) {
    if (name.ends_with(spec.card.name)) return &spec;  // not "... Laptop GPU", "... Ti", "... NVL"
  }
  return nullptr;
}

CardSpec measure_cpu(int threads, const fs::path& folder) {
  constexpr double kShareOfAvailable = 0.9;
  constexpr std::int64_t kEdge = 1024;
  ThreadPool pool(threads);
  CardSpec spec;
  const double copied = copy_rate(pool);
  spec.card = {.name = "cpu",
               .kind = DeviceKind::cpu,
               .memory = available_memory(),
               .flops_per_second = bench::measure_sgemm_rate(pool, kEdge, 0.25).best(),
               .bytes_per_second = copied,
               .link_bytes_per_second = copied / 2,  // a copied byte is read and written
               .file_bytes_per_second = disk_rate(folder),
               .launch_seconds = 0,
               .source = "measured just now, fp32"};
  spec.reserved = static_cast<std::size_t>((1 - kShareOfAvailable) * static_cast<double>(spec.card.memory));
  spec.peak_flops_per_second = spec.card.flops_per_second;
  spec.peak_bytes_per_second = spec.card.bytes_per_second;
  return spec;
}

}  // namespace rankine::app
