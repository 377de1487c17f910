// A k×k convolution of channels-last maps with adapters. Pointwise (1×1) convolutions are Linear.
#pragma once

#include <optional>

#include "kernels/conv/conv.h"
#include "models/nn/adapter.h"
#include "models/nn/weight.h"

namespace rankine {

class Conv2d {
 public:
  Conv2d(std::string path, std::int64_t in, std::int64_t out, Window window = {});

  Tensor forward(const Context& c, const Tensor& x);  // (N, H, W, in) -> (N, H', W', out)
  Tensor backward(const Context& c, const Tensor& dy) { return *run_backward(c, dy, true); }
  // Weight and adapter gradients only: for the first layer, whose input nobody trains.
  void backward_weights(const Context& c, const Tensor& dy) { run_backward(c, dy, false); }

  const std::string& path() const { return path_; }
  std::int64_t in_channels() const { return in_; }
  std::int64_t out_channels() const { return out_; }
  const Window& window() const { return window_; }
  const Weight& weight() const { return weight_; }
  LoraSets& adapters() { return adapters_; }
  void visit(ModelVisitor& v);

 private:
  struct Saved {
    Tensor x;
    std::vector<Tensor> middles;  // conv(x, down), dropout applied; one per active set
  };
  struct InputShape {
    std::array<std::int64_t, 4> dims;
  };
  bool needs_input() const { return !adapters_.empty() || weight_.trained(); }
  std::optional<Tensor> run_backward(const Context& c, const Tensor& dy, bool want_input);
  std::vector<LoraSet*> active_sets(const Context& c);

  std::string path_;
  std::int64_t in_, out_;
  Window window_;
  Weight weight_, bias_;
  LoraSets adapters_;
};

}  // namespace rankine
