#include "bench/ceilings.h"

#include <algorithm>
#include <cstring>

#include "bench/roofline.h"
#include "bench/stopwatch.h"

namespace rankine::bench {
namespace {

constexpr std::size_t kCpuCache = std::size_t{128} << 20;

Ceilings measure_cpu_ceilings(const Context& c, const CeilingSizes& sizes) {
  ThreadPool& pool = c.pool();
  const SgemmRate rate = measure_sgemm_rate(pool, sizes.edge, sizes.seconds);
  std::vector<char> from(sizes.copy_bytes, 1), to(sizes.copy_bytes, 2);
  Call copy = [&] {
    pool.parallel_for(
        static_cast<std::int64_t>(from.size()), 1 << 12, [&](std::int64_t begin, std::int64_t end) {
          std::memcpy(to.data() + begin, from.data() + begin, static_cast<std::size_t>(end - begin));
        });
  };
  const double bytes = 2.0 * double(from.size()) / time_calls(c, {&copy, 1}, sizes.seconds).seconds;
  return {{{"sgemm own", "FLOP/s", rate.own}, {"sgemm CBLAS", "FLOP/s", rate.blas}, {"copy", "B/s", bytes}},
          join("CPU, ", pool.size(), " threads"),
          kCpuCache,
          rate.best(),
          0,
          bytes};
}

}  // namespace

double Ceilings::value_of(std::string_view name) const {
  for (const Line& line : lines) {
    if (line.name == name) return line.value;
  }
  return 0;
}

Ceilings measure_ceilings(const Context& c, const CeilingSizes& sizes) {
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return measure_cuda_ceilings(c, sizes);
  }
  return measure_cpu_ceilings(c, sizes);
}

Bound bound_of(const Cost& cost, const Ceilings& ceilings) {
  const double arithmetic = cost.flops / ceilings.flops, traffic = cost.bytes / ceilings.bytes;
  return {std::max(arithmetic, traffic), traffic >= arithmetic};
}

}  // namespace rankine::bench
