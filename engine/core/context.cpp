#include "engine/core/context.h"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <vector>

#include "engine/core/error.h"

namespace rankine {

void CostMeter::add(std::string_view op, const Cost& cost, double seconds) {
  auto it = lines_.find(op);
  if (it == lines_.end()) it = lines_.emplace(std::string(op), Line{}).first;
  Line& line = it->second;
  ++line.calls;
  line.cost.flops += cost.flops;
  line.cost.bytes += cost.bytes;
  line.seconds += seconds;
}

double CostMeter::flops() const {
  double sum = 0;
  for (const auto& [name, line] : lines_) sum += line.cost.flops;
  return sum;
}

double CostMeter::bytes() const {
  double sum = 0;
  for (const auto& [name, line] : lines_) sum += line.cost.bytes;
  return sum;
}

std::string CostMeter::report() const {
  std::vector<std::pair<std::string, Line>> rows(lines_.begin(), lines_.end());
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.seconds, a.second.cost.flops) >
           std::pair(b.second.seconds, b.second.cost.flops);
  });
  std::ostringstream out;
  out << std::left << std::setw(28) << "operation" << std::right << std::setw(8) << "calls" << std::setw(10)
      << "seconds" << std::setw(12) << "GFLOP" << std::setw(10) << "GFLOP/s" << std::setw(10) << "GB/s"
      << '\n';
  out << std::fixed << std::setprecision(3);
  for (const auto& [name, line] : rows) {
    const double s = std::max(line.seconds, 1e-12);
    out << std::left << std::setw(28) << name << std::right << std::setw(8) << line.calls << std::setw(10)
        << line.seconds << std::setw(12) << line.cost.flops * 1e-9 << std::setw(10)
        << (line.seconds > 0 ? line.cost.flops * 1e-9 / s : 0) << std::setw(10)
        << (line.seconds > 0 ? line.cost.bytes * 1e-9 / s : 0) << '\n';
  }
  return std::move(out).str();
}

Runtime::Runtime(Device device, std::size_t budget, int threads, DType activations)
    : memory_(device, budget), pool_(threads), activations_(activations) {
  require<Error>(activations == DType::f32 ||
                     (device.is_cuda() && (activations == DType::f16 || activations == DType::bf16)),
                 device.to_string(), ": activations cannot be ", name_of(activations));
}

Context Context::with_live_step(const Tensor& live) const {
  require<ShapeError>(live.dtype() == DType::i32 && live.numel() == 2,
                      "a live step is two i32 numbers: step and first sample");
  Context c = *this;
  c.live_ = planning() ? nullptr : reinterpret_cast<const LiveStep*>(live.raw());
  return c;
}

Context Context::on(const Stream& stream) const {
  Context c = *this;
  c.stream_ = &stream;
  return c;
}

Op::Op(const Context& c, std::string_view name, Cost cost)
    : meter_(c.cost()),
      clock_(c.clock()),
      name_(name),
      cost_(cost),
      planned_(c.planning()),
      start_(std::chrono::steady_clock::now()) {}

Op::~Op() {
  const double seconds =
      planned_ ? 0.0 : std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  meter_.add(name_, cost_, seconds);
  if (planned_ && clock_) clock_->compute(cost_);
}

}  // namespace rankine
