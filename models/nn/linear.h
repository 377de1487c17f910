// Linear maps that read one input: y_i = x W_iᵀ + b_i + adapters. One output is a plain Linear; to_q, to_k,
// to_v of an attention are three outputs of one SharedLinear, so their adapters share the middle S = x [A_q;
// A_k; A_v]ᵀ.
#pragma once

#include <string>
#include <vector>

#include "models/nn/adapter.h"
#include "models/nn/middle.h"
#include "models/nn/weight.h"

namespace rankine {

struct LinearOutput {
  std::string path;  // module path, without ".weight"
  std::int64_t features;
  bool bias = true;
};

class SharedLinear {
 public:
  // x (..., in) -> y_i (..., features_i). `layout` says how files store the matrices.
  SharedLinear(std::int64_t in, std::vector<LinearOutput> outputs, FileLayout layout = FileLayout::same);

  // What the leaf that writes x may leave behind for forward: the middle of the first active adapter set,
  // unless that set drops elements of x.
  MiddleRequest wants(const Context& c);
  std::vector<Tensor> forward(const Context& c, const LinearInput& in);
  // Returns dx. One dy per output, in order.
  Tensor backward(const Context& c, const std::vector<Tensor>& dys);
  // Adds the input gradient to *dx, or computes none when dx is null (an input nobody trains).
  void backward_into(const Context& c, const std::vector<Tensor>& dys, Tensor* dx);

  std::int64_t in_features() const { return in_; }
  int outputs() const { return static_cast<int>(outputs_.size()); }
  const std::string& path(int output) const { return outputs_[output].path; }
  std::int64_t out_features(int output) const { return outputs_[output].features; }
  FileLayout layout() const { return layout_; }
  const Weight& weight(int output) const { return weights_[output]; }
  LoraSets& adapters() { return adapters_; }
  // LoraSet::init of every adapter, with the frozen weights that DoRA and PiSSA start from. In a WeightPass.
  void init_adapters(const Context& c, std::uint64_t seed);
  void visit(ModelVisitor& v);

 private:
  struct Saved {
    Tensor x;
    std::vector<Tensor> middles;  // one per active adapter set, dropout applied
    std::vector<Tensor> plain;    // one per output; of DoRA: y before factor and bias, else undefined
    std::vector<Tensor> factors;  // one per output; of DoRA: m / n
    std::vector<Tensor> inverse;  // one per output; of DoRA: 1 / n
  };
  struct Dora {
    LoraSet* set = nullptr;
    LoraMember* member = nullptr;  // null: the output has none
  };
  bool needs_input() const;
  void run_backward(const Context& c, const std::vector<Tensor>& dys, Tensor* dx, Write write);
  std::vector<Tensor> adapter_gradients(const Context& c, const std::vector<Tensor>& dys, const Saved& saved);
  void input_gradient(const Context& c, const std::vector<Tensor>& dys, const std::vector<Tensor>& dmiddles,
                      Tensor& dx, Write write);
  void weight_gradients(const Context& c, const std::vector<Tensor>& dys, const Tensor& x);
  std::vector<LoraSet*> active_sets(const Context& c);
  static std::vector<Tensor> middles(const Context& c, const LinearInput& in,
                                     const std::vector<LoraSet*>& sets);
  Dora dora_of(const std::vector<LoraSet*>& sets, int output) const;
  void scale_rows(const Context& c, Tensor& y, int output, const Dora& dora, Saved& saved);
  Tensor dora_backward(const Context& c, const Tensor& dy, int output, const Saved& saved);

  std::int64_t in_;
  std::vector<LinearOutput> outputs_;
  FileLayout layout_;
  std::vector<Weight> weights_, biases_;
  LoraSets adapters_;
};

// One output.
class Linear {
 public:
  Linear(std::string path, std::int64_t in, std::int64_t out, bool bias = true,
         FileLayout layout = FileLayout::same)
      : shared_(in, {{std::move(path), out, bias}}, layout) {}
  MiddleRequest wants(const Context& c) { return shared_.wants(c); }
  Tensor forward(const Context& c, const LinearInput& in) { return shared_.forward(c, in)[0]; }
  Tensor backward(const Context& c, const Tensor& dy) { return shared_.backward(c, {dy}); }
  void backward_into(const Context& c, const Tensor& dy, Tensor* dx) { shared_.backward_into(c, {dy}, dx); }
  SharedLinear& shared() { return shared_; }
  void visit(ModelVisitor& v) { shared_.visit(v); }

 private:
  SharedLinear shared_;
};

}  // namespace rankine
