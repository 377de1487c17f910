// Answers whether anything in a part of a model trains: what decides where a tape is needed.
#pragma once

#include "models/nn/conv.h"
#include "models/nn/linear.h"

namespace rankine {

class TrainedFinder final : public ModelVisitor {
 public:
  void weight(Weight& w) override { found_ |= w.trained(); }
  void linear(SharedLinear& l) override { found_ |= !l.adapters().empty(); }
  void conv(Conv2d& l) override { found_ |= !l.adapters().empty(); }
  bool found() const { return found_; }

 private:
  bool found_ = false;
};

template <class Layer>
bool has_trained(Layer& layer) {
  TrainedFinder finder;
  layer.visit(finder);
  return finder.found();
}

}  // namespace rankine
