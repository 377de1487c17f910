#include "bench/kernels_bench.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <map>

#include "bench/kernels_print.h"
#include "engine/core/cuda_device.h"

namespace rankine::bench {
namespace {

constexpr int kMostSets = 48;
constexpr double kBeyondCache = 3;  // operands in turn are that many caches
constexpr std::size_t kQuickMemory = std::size_t{192} << 20;

DType type_named(const std::string& name) {
  require<ConfigError>(name == "fp16" || name == "bf16", "--type: expected fp16 or bf16, got ", name);
  return name == "fp16" ? DType::f16 : DType::bf16;
}

// What one call costs and how much memory its operands take, by the same program on a plan device.
struct Forecast {
  Cost cost;
  std::size_t set_bytes = 0, own_bytes = 0, peak = 0;
};
Forecast forecast(const KernelCase& k, const Runtime& real, int rank) {
  Runtime plan(real.device().planned(), Memory::kUnlimited, 1, real.activations());
  Forecast f;
  {
    Operands operands(Context(plan), rank);
    Call call = k.operation->make(operands, k.n);
    plan.cost().clear();
    call();
    f = {{plan.cost().flops(), plan.cost().bytes()}, operands.bytes(), operands.own_bytes(), 0};
  }
  f.peak = plan.memory().high_water();
  return f;
}

class Bench {
 public:
  explicit Bench(const KernelsOptions& o)
      : options_(o),
        device_(bench_device(o.device)),
        runtime_(device_, o.quick ? kQuickMemory : Memory::kUnlimited, o.threads,
                 device_.is_cuda() ? type_named(o.type) : DType::f32),
        c_(runtime_) {}

  KernelsResult run(const Seen& seen) {
    CeilingSizes sizes;
    if (!device_.is_cuda()) sizes = {2048, std::size_t{256} << 20, 0, 1.0};
    if (options_.quick) sizes = {64, std::size_t{1} << 20, 2, 0};
    KernelsResult result{measure_ceilings(c_, sizes), {}};
    ceilings_ = &result.ceilings;
    if (seen) seen(result);
    for (const KernelCase& k : kernel_cases(filter())) {
      result.lines.push_back(measure(k));
      if (seen) seen(result);
    }
    return result;
  }

 private:
  CaseFilter filter() const {
    CaseFilter f{options_.filter, options_.models, options_.batch, device_.is_cuda(), options_.quick};
    if (!device_.is_cuda() && !options_.quick) {  // a language model's step is minutes of a few cores
      if (f.models.empty()) f.models = {"sd15"};
      if (f.batch == 0) f.batch = 1;
    }
    return f;
  }

  std::size_t memory() const {
    if constexpr (build::cuda) {
      if (device_.is_cuda() && !options_.quick) return card_memory_;
    }
    return options_.quick ? kQuickMemory : kHostMemory;
  }

  // Sets in turn that no cache holds. Sharing, further sets add their weights alone.
  int sets_of(const Forecast& f, Sharing sharing) const {
    if (options_.quick) return 1;
    const std::size_t further = sharing == Sharing::activations ? f.own_bytes : f.set_bytes;
    if (further == 0) return 1;
    const double wanted = kBeyondCache * double(ceilings_->cache_bytes) / double(further);
    const double room = double(memory() - std::min(memory(), f.peak)) / 1.2 / double(further);
    return std::clamp(static_cast<int>(std::min(wanted, room)) + 1, 1, kMostSets);
  }

  KernelLine measure(const KernelCase& k) {
    const Forecast f = forecast(k, runtime_, options_.rank);
    const Bound bound = bound_of(f.cost, *ceilings_);
    const Sharing sharing = bound.by_bytes ? Sharing::nothing : Sharing::activations;
    KernelLine line{k, f.cost, {}, bound, sets_of(f, sharing), sharing};
    if (f.peak > memory())
      line.skipped = join("needs ", human_bytes(double(f.peak)));
    else if (options_.limit > 0 && seconds_since_start() > options_.limit)
      line.skipped = "no time left";
    else
      time(line);
    return line;
  }

  void time(KernelLine& line) {
    const auto sets = static_cast<std::size_t>(line.sets);
    try {
      std::vector<Operands> operands;
      operands.reserve(sets);  // further ones point to the first
      std::vector<Call> calls;
      operands.emplace_back(c_, options_.rank);
      for (std::size_t i = 0; i < sets; ++i) {
        if (i > 0) operands.emplace_back(operands[0], line.sharing, static_cast<std::uint32_t>(i));
        calls.push_back(line.what.operation->make(operands[i], line.what.n));
      }
      line.time = time_calls(c_, calls, options_.seconds);
    } catch (const Error& e) {  // the other cases may still tell something
      line.skipped = e.what();
      line.failed = true;
    }
  }

  double seconds_since_start() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

  static constexpr std::size_t kHostMemory = std::size_t{4} << 30;
  KernelsOptions options_;
  Device device_;
  std::size_t card_memory_ = free_before(device_);
  Runtime runtime_;
  Context c_;
  const Ceilings* ceilings_ = nullptr;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();

  static std::size_t free_before(Device device) {
    if constexpr (build::cuda) {
      if (device.is_cuda()) return cuda::free_memory(device) / 10 * 8;
    }
    return 0;
  }
};

}  // namespace

Device bench_device(const std::string& name) {
  if (name == "cpu") return Device::cpu();
  int index = 0;
  if (name != "cuda") {
    require<ConfigError>(name.starts_with("cuda:"), "--device: expected cpu, cuda or cuda:N, got ", name);
    const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), index);
    require<ConfigError>(error == std::errc() && end == name.data() + name.size() && index >= 0,
                         "--device: expected cpu, cuda or cuda:N, got ", name);
  }
  if constexpr (build::cuda) {
    const int count = rankine::cuda::device_count();
    require<ConfigError>(index < count, "--device: no CUDA device ", index, ": this machine has ", count);
    return Device::cuda(index);
  }
  throw ConfigError("--device: this build has no CUDA kernels; configure with -DRANKINE_CUDA=ON");
}

KernelsResult measure_kernels(const KernelsOptions& options, const Seen& seen) {
  return Bench(options).run(seen);
}

std::vector<AdapterCost> adapter_costs(const std::vector<KernelLine>& lines) {
  struct Sums {
    double frozen[2] = {0, 0}, adapted[2] = {0, 0};  // forward, backward
  };
  std::vector<std::string> order;
  std::map<std::string, Sums> sums;
  for (const KernelLine& l : lines) {
    if (l.what.operation->family != Family::linear || l.time.seconds <= 0) continue;
    const std::string model = join(l.what.model, " b", l.what.batch);
    if (!sums.contains(model)) order.push_back(model);
    Sums& s = sums[model];
    const std::string_view op = l.what.operation->name;
    const double readers = double(std::max<std::int64_t>(1, l.what.n[3]));  // of one x share a middle
    const double seconds = l.time.seconds * l.what.count;
    if (op == "linear_forward") s.frozen[0] += seconds;
    if (op == "linear_adjoint") s.frozen[1] += seconds;
    if (op == "lowrank_linear_forward") s.adapted[0] += seconds;
    if (op == "lowrank_linear_adjoint" || op == "lowrank_up_backward") s.adapted[1] += seconds;
    if (op == "lowrank_middle") s.adapted[0] += seconds / readers;
    if (op == "lowrank_down_grad") s.adapted[1] += seconds / readers;
  }
  std::vector<AdapterCost> costs;
  for (const std::string& model : order) {
    const Sums& s = sums[model];
    if (s.frozen[0] <= 0 || s.frozen[1] <= 0 || s.adapted[0] <= 0 || s.adapted[1] <= 0) continue;
    costs.push_back(
        {model, s.adapted[0] / s.frozen[0], (s.adapted[0] + s.adapted[1]) / (s.frozen[0] + s.frozen[1])});
  }
  return costs;
}

int run_kernels(const KernelsOptions& options) {
  const KernelsResult result = measure_kernels(options, [&](const KernelsResult& so_far) {
    if (options.json) return;
    if (so_far.lines.empty())
      print_head(options, so_far.ceilings);
    else
      print_line(so_far.lines.back(), so_far.ceilings.mma_flops > 0);
  });
  if (options.json)
    std::printf("%s\n", json_of(options, result).c_str());
  else
    print_end(options, result);
  if (!options.save.empty()) {
    std::ofstream out(options.save);
    out << json_of(options, result) << '\n';
    require<Error>(out.good(), "--save: cannot write ", options.save);
  }
  return std::any_of(result.lines.begin(), result.lines.end(), [](const KernelLine& l) { return l.failed; });
}

}  // namespace rankine::bench
