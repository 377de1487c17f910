#include "bench/kernels_bench.h"

#include <cstdio>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/roofline.h"
#include "engine/core/block_formats.h"
#include "kernels/attention/attention.h"
#include "kernels/conv/conv.h"
#include "kernels/lowrank/lowrank.h"
#include "kernels/matmul/matmul.h"

namespace rankine::bench {
namespace {

struct ConvLayer {
  std::int64_t in, out, edge;  // edge of the input map at 512 pixels
  int count;                   // times it occurs in the U-Net
  int stride = 1;
};
// The 3x3 convolutions of the Stable Diffusion 1.5 U-Net.
constexpr ConvLayer kConvs[] = {{4, 320, 64, 1},      {320, 320, 64, 7},    {640, 320, 64, 2},
                                {960, 320, 64, 1},    {640, 640, 64, 1},    {320, 4, 64, 1},
                                {320, 640, 32, 1},    {640, 640, 32, 6},    {960, 640, 32, 1},
                                {1280, 640, 32, 1},   {1920, 640, 32, 1},   {1280, 1280, 32, 1},
                                {640, 1280, 16, 1},   {1280, 1280, 16, 7},  {2560, 1280, 16, 2},
                                {1920, 1280, 16, 1},  {1280, 1280, 8, 12},  {2560, 1280, 8, 3},
                                {320, 320, 64, 1, 2}, {640, 640, 32, 1, 2}, {1280, 1280, 16, 1, 2}};

struct LinearLayer {
  std::int64_t in, out, edge;  // edge 0: the 77 tokens of the text
  int count;
};
// Its linear layers (attention projections, gated MLP) and pointwise convolutions.
constexpr LinearLayer kLinears[] = {
    {320, 320, 64, 40},  {320, 2560, 64, 5},   {1280, 320, 64, 5},   {640, 640, 32, 40},  {640, 5120, 32, 5},
    {2560, 640, 32, 5},  {1280, 1280, 16, 40}, {1280, 10240, 16, 5}, {5120, 1280, 16, 5}, {1280, 1280, 8, 8},
    {1280, 10240, 8, 1}, {5120, 1280, 8, 1},   {768, 320, 0, 10},    {768, 640, 0, 10},   {768, 1280, 0, 12}};

struct AttentionLayer {
  std::int64_t queries, keys, width;
  int heads, kv_heads;
};
// Causal self-attention of 7B language models in training, and one token against a cache. Not of the U-Net:
// count 0.
constexpr AttentionLayer kAttentions[] = {{512, 512, 128, 32, 32},
                                          {2048, 2048, 128, 32, 32},
                                          {2048, 2048, 128, 32, 8},
                                          {1, 2048, 128, 32, 32},
                                          {1, 2048, 128, 32, 8}};
// Frozen linear layers of a 7B language model, by what their weight is stored as: a training step's 256
// tokens, and generating one token, which is bound by reading the weight.
constexpr LinearLayer kFrozen[] = {{4096, 4096, 0, 0}, {4096, 11008, 0, 0}};
constexpr DType kFrozenTypes[] = {DType::f32,  DType::f16,  DType::q4_0, DType::q8_0,
                                  DType::q4_k, DType::q6_k, DType::nf4,  DType::nf4_dq};
constexpr std::int64_t kFrozenRows[] = {256, 1};

// A step passes over far more weights than any cache holds, so each call gets the next of several copies.
class ColdWeights {
 public:
  static constexpr std::size_t kBytes = std::size_t{128} << 20;
  ColdWeights(const Context& c, Shape shape, std::uint32_t id, DType type = DType::f16) {
    std::size_t bytes = 0;
    do {
      Tensor& w = copies_.emplace_back(c.empty(shape, "weight", type));
      if (copies_.size() == 1)
        fill(w, id);
      else
        std::memcpy(w.raw(), copies_[0].raw(), w.bytes());
      bytes += w.bytes();
    } while (bytes < kBytes && copies_.size() < 64);
  }
  const Tensor& next() { return copies_[at_++ % copies_.size()]; }

 private:
  static void fill(Tensor& w, std::uint32_t id) {
    HostRandom numbers({1, purpose("weight"), 0, id});
    const auto next = [&numbers] { return numbers.uniform() - 0.5F; };
    if (w.dtype() == DType::f32) {
      for (float& v : w.span<float>()) v = next();
    } else if (w.dtype() == DType::f16) {
      for (Half& v : w.span<Half>()) v = to_half(next());
    } else if (can_encode(w.dtype())) {
      std::vector<float> values(static_cast<std::size_t>(w.numel()));
      for (float& v : values) v = next();
      encode_blocks(w.dtype(), values, static_cast<std::byte*>(w.raw()));
    } else {
      std::memset(w.raw(), 0x2A, w.bytes());  // time does not depend on the codes; 0x2A2A is a normal half
    }
  }

  std::vector<Tensor> copies_;
  std::size_t at_ = 0;
};

struct Line {
  std::string kernel, shape;
  int count;
  double flops, bytes, seconds;
};

class Bench {
 public:
  explicit Bench(const KernelsOptions& options)
      : options_(options), runtime_(Device::cpu(), Memory::kUnlimited, options.threads), c_(runtime_) {}

  ThreadPool& pool() { return runtime_.pool(); }

  void conv(const ConvLayer& l) {
    const std::int64_t edge = std::max<std::int64_t>(1, l.edge * options_.pixels / 512);
    const Window window{3, l.stride, 1, 1};
    const std::string shape = join(edge, "x", edge, " ", l.in, "->", l.out, l.stride > 1 ? " /2" : "");
    if (!wanted_any({"conv2d_forward", "conv2d_adjoint"}, shape)) return;
    const Tensor x = random({options_.batch, edge, edge, l.in});
    Tensor y = random(conv2d_out_shape(x.shape(), l.out, window)), dx = random(x.shape());
    ColdWeights w(c_, {l.out, 3, 3, l.in}, id_++);
    time("conv2d_forward", shape, l.count, [&] { conv2d_forward(c_, y, x, w.next(), {}, window); });
    time("conv2d_adjoint", shape, l.count,
         [&] { conv2d_adjoint(c_, dx, y, w.next(), window, Write::overwrite); });
  }

  void linear(const LinearLayer& l) {
    const std::int64_t edge = std::max<std::int64_t>(1, l.edge * options_.pixels / 512);
    const std::int64_t rows = options_.batch * (l.edge == 0 ? 77 : edge * edge);
    const std::string shape = join(rows, " ", l.in, "->", l.out);
    if (!wanted_any({"lowrank_linear_forward", "lowrank_linear_adjoint", "lowrank_middle",
                     "lowrank_up_backward", "lowrank_down_grad"},
                    shape)) {
      return;
    }
    const Tensor x = random({rows, l.in}), down = random({options_.rank, l.in}),
                 up = random({l.out, options_.rank});
    Tensor y = random({rows, l.out}), dx = random({rows, l.in}), dup = random(up.shape()),
           ddown = random(down.shape());
    Tensor s = random({rows, options_.rank}), ds = random({rows, options_.rank});
    ColdWeights w(c_, {l.out, l.in}, id_++);
    const LowRankTerm forward{s, 0, up, 1}, backward{ds, 0, down, 1};
    time("lowrank_linear_forward", shape, l.count, [&] {
      lowrank_linear_forward(c_, y, x, w.next(), {}, {&forward, 1});
    });
    time("lowrank_linear_adjoint", shape, l.count, [&] {
      lowrank_linear_adjoint(c_, dx, y, w.next(), {&backward, 1}, Write::overwrite);
    });
    time("lowrank_middle", shape, l.count, [&] { lowrank_middle(c_, s, x, down); });
    time("lowrank_up_backward", shape, l.count, [&] { lowrank_up_backward(c_, {ds, dup}, y, forward); });
    time("lowrank_down_grad", shape, l.count, [&] { lowrank_down_grad(c_, ddown, ds, x); });
  }

  void attention(const AttentionLayer& l) {
    const std::string shape = join(l.queries, "x", l.keys, " ", l.heads, "/", l.kv_heads, "x", l.width);
    if (!wanted_any({"attention_forward", "attention_backward"}, shape)) return;
    const Tensor q = random({1, l.queries, l.heads * l.width}), k = random({1, l.keys, l.kv_heads * l.width}),
                 v = random(k.shape()), d_o = random(q.shape());
    Tensor o = random(q.shape()), lse = random({1, l.heads, l.queries}), dq = random(q.shape()),
           dk = random(k.shape()), dv = random(k.shape());
    const AttentionSpec spec{l.heads, l.kv_heads, true};
    attention_forward(c_, o, lse, q, k, v, spec);
    time("attention_forward", shape, 0, [&] { attention_forward(c_, o, lse, q, k, v, spec); });
    if (l.queries == 1) return;
    time("attention_backward", shape, 0, [&] {
      attention_backward(c_, {dq, dk, dv}, d_o, {q, k, v, o, lse}, spec);
    });
  }

  void frozen(const LinearLayer& l, DType type, std::int64_t rows) {
    const std::string shape = join(rows, " ", l.in, "->", l.out, " ", name_of(type));
    if (!wanted_any({"linear_forward", "linear_adjoint"}, shape)) return;
    ColdWeights w(c_, {l.out, l.in}, id_++, type);
    const Tensor x = random({rows, l.in});
    Tensor y = random({rows, l.out}), dx = random({rows, l.in});
    time("linear_forward", shape, l.count, [&] { linear_forward(c_, y, x, w.next(), {}); });
    if (rows == 1) return;  // generating text has no backward
    time("linear_adjoint", shape, l.count, [&] { linear_adjoint(c_, dx, y, w.next(), Write::overwrite); });
  }

  const std::vector<Line>& lines() const { return lines_; }

 private:
  bool wanted(const std::string& name) const { return name.find(options_.filter) != std::string::npos; }

  bool wanted_any(std::initializer_list<const char*> kernels, const std::string& shape) const {
    for (const char* kernel : kernels) {
      if (wanted(join(kernel, " ", shape))) return true;
    }
    return false;
  }

  Tensor random(Shape shape) {
    Tensor t = c_.empty(shape, "bench");
    HostRandom numbers({1, purpose("bench"), 0, id_++});
    for (float& v : t.span<float>()) v = numbers.uniform() - 0.5F;
    return t;
  }

  void time(const std::string& kernel, const std::string& shape, int count, const std::function<void()>& f) {
    if (!wanted(kernel + " " + shape)) return;
    runtime_.cost().clear();
    f();
    const double flops = runtime_.cost().flops(), bytes = runtime_.cost().bytes();
    lines_.push_back({kernel, shape, count, flops, bytes, best_seconds(f, options_.seconds)});
  }

  KernelsOptions options_;
  Runtime runtime_;
  Context c_;
  std::uint32_t id_ = 0;
  std::vector<Line> lines_;
};

void print_table(const std::vector<Line>& lines, const SgemmRate& rate, int threads) {
  std::printf("sgemm 2048, %d threads: own %.1f, CBLAS %.1f GFLOP/s; shares are of the better one\n\n",
              threads, rate.own * 1e-9, rate.blas * 1e-9);
  std::printf("%-24s %-22s %5s %10s %9s %6s %6s\n", "kernel", "shape", "count", "us", "GFLOP/s", "share",
              "GB/s");
  double flops = 0, seconds = 0;
  for (const Line& l : lines) {
    std::printf("%-24s %-22s %5d %10.1f %9.1f %6.2f %6.1f\n", l.kernel.c_str(), l.shape.c_str(), l.count,
                l.seconds * 1e6, l.flops / l.seconds * 1e-9, l.flops / l.seconds / rate.best(),
                l.bytes / l.seconds * 1e-9);
    flops += l.count * l.flops;
    seconds += l.count * l.seconds;
  }
  if (seconds > 0) {
    std::printf("%-24s %-22s %5s %10.1f %9.1f %6.2f\n", "all, times count", "", "", seconds * 1e6,
                flops / seconds * 1e-9, flops / seconds / rate.best());
  }
}

void print_json(const std::vector<Line>& lines, const SgemmRate& rate, int threads) {
  nlohmann::json doc{{"threads", threads}, {"sgemm_own", rate.own}, {"sgemm_blas", rate.blas}};
  doc["kernels"] = nlohmann::json::array();
  for (const Line& l : lines) {
    doc["kernels"].push_back({{"kernel", l.kernel},
                              {"shape", l.shape},
                              {"count", l.count},
                              {"flops", l.flops},
                              {"bytes", l.bytes},
                              {"seconds", l.seconds},
                              {"share", l.flops / l.seconds / rate.best()}});
  }
  std::printf("%s\n", doc.dump(2).c_str());
}

}  // namespace

int run_kernels(const KernelsOptions& options) {
  Bench bench(options);
  const SgemmRate rate = measure_sgemm_rate(bench.pool());
  for (const ConvLayer& l : kConvs) bench.conv(l);
  for (const LinearLayer& l : kLinears) bench.linear(l);
  for (const AttentionLayer& l : kAttentions) bench.attention(l);
  for (const LinearLayer& l : kFrozen) {
    for (const std::int64_t rows : kFrozenRows) {
      for (const DType type : kFrozenTypes) bench.frozen(l, type, rows);
    }
  }
  const auto print = options.json ? print_json : print_table;
  print(bench.lines(), rate, bench.pool().size());
  return 0;
}

}  // namespace rankine::bench
