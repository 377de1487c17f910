#include <algorithm>
#include <utility>

#include "bench/ceilings.h"
#include "bench/cuda_probe.h"
#include "bench/stopwatch.h"
#include "kernels/conv/cudnn.h"
#include "kernels/matmul/cublaslt.h"
#include "kernels/matmul/gemm_cuda.h"
#include "kernels/random/random.h"

namespace rankine::bench {
namespace {

class Measurement {
 public:
  Measurement(const Context& c, const CeilingSizes& sizes) : c_(c), sizes_(sizes) {}

  Ceilings all() {
    const cuda::DriverFacts driver = cuda::describe();
    const cuda::DeviceFacts& card = driver.devices.at(static_cast<std::size_t>(c_.device().index));
    result_.cache_bytes = l2_bytes(c_.device());
    result_.device =
        join(card.name, ", sm_", card.architecture, ", ", card.multiprocessors, " multiprocessors, L2 ",
             human_bytes(double(result_.cache_bytes)), ", memory ", human_bytes(double(card.total)),
             ", driver ", driver.driver, ", runtime ", driver.runtime, ", cuBLASLt ",
             cuda::cublaslt_version(), ", cuDNN ", cuda::cudnn_version());
    tensor_cores(card.multiprocessors);
    products();
    copies();
    return std::move(result_);
  }

 private:
  // amount / median seconds of `call`.
  double add(const std::string& name, const std::string& unit, double amount, Call call) {
    const double rate = amount / time_calls(c_, {&call, 1}, sizes_.seconds).seconds;
    result_.lines.push_back({name, unit, rate});
    return rate;
  }

  void tensor_cores(int multiprocessors) {
    Tensor out = c_.empty({mma_probe_floats(multiprocessors)}, "probe", DType::f32);
    const auto probe = [&] {
      return mma_probe(c_.cuda_stream(), out.data<float>(), c_.activations(), multiprocessors,
                       sizes_.mma_rounds);
    };
    result_.mma_flops = add("mma.sync", "FLOP/s", probe(), probe);
    result_.flops = result_.mma_flops;
  }

  void products() {
    const std::int64_t n = sizes_.edge;
    Tensor x[3] = {c_.empty({n, n}, "a"), c_.empty({n, n}, "b"), c_.empty({n, n}, "c")};
    for (std::uint32_t i = 0; i < 3; ++i) fill_uniform(c_, x[i], {1, purpose("roofline"), 0, i}, -0.5F, 0.5F);
    cuda::Gemm g{.type = c_.activations(),
                 .a = cuda::Major::k,
                 .b = cuda::Major::k,
                 .m = n,
                 .n = n,
                 .segments = {},
                 .count = 1,
                 .out = {x[2].raw(), c_.activations(), n},
                 .bias = {},
                 .batch = {}};
    g.segments[0] = {x[0].raw(), n, x[1].raw(), n, n};
    const double flops = 2.0 * double(n) * double(n) * double(n);
    g.by = GemmBy::own;
    const double own =
        add(join("own product ", n), "FLOP/s", flops, [&] { cuda::gemm(c_.cuda_stream(), "ceiling", g); });
    result_.flops = std::max(result_.flops, own);
    if (!cuda::cublaslt_gemm(c_.cuda_stream(), "ceiling", g)) return;
    const double library = add(join("cuBLASLt ", n), "FLOP/s", flops,
                               [&] { cuda::cublaslt_gemm(c_.cuda_stream(), "ceiling", g); });
    result_.flops = std::max(result_.flops, library);
  }

  void copies() {
    const auto n = static_cast<std::int64_t>(sizes_.copy_bytes / sizeof(float));
    Tensor from = c_.empty({n}, "from", DType::f32), to = c_.empty({n}, "to", DType::f32);
    fill_uniform(c_, from, {1, purpose("roofline"), 0, 9}, -1, 1);
    const auto copy = [&](void* t, const void* f, std::size_t bytes) {
      return [this, t, f, bytes] { cuda::copy_bytes(c_.cuda_stream(), t, f, bytes); };
    };
    result_.bytes = add("copy", "B/s", 2.0 * double(from.bytes()), copy(to.raw(), from.raw(), from.bytes()));
    const std::size_t bytes = from.bytes() / 4;
    const std::shared_ptr<std::byte> host = cuda::pinned_bytes(bytes);
    add("pinned host to device", "B/s", double(bytes), copy(to.raw(), host.get(), bytes));
    add("device to pinned host", "B/s", double(bytes), copy(host.get(), from.raw(), bytes));
  }

  Context c_;
  CeilingSizes sizes_;
  Ceilings result_{};
};

}  // namespace

Ceilings measure_cuda_ceilings(const Context& c, const CeilingSizes& sizes) {
  return Measurement(c, sizes).all();
}

}  // namespace rankine::bench
