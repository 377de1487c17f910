// All that trains, in one piece: one flat fp32 buffer of values and one of gradients. The optimizer is then
// one kernel, the gradient norm one reduction and a checkpoint one block.
//
// Parameters stand in the order given, with no padding between them: the element after the last one of
// parameter i is the first one of parameter i+1. So neighbouring matrices with equal columns can be read as
// one stacked matrix, param.value.flat(...) of the whole.
//
// Memory: values, gradients and the rounded copy (fp16, bf16) count under Account::adapters.
#pragma once

#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/param.h"

namespace rankine {

class ParamArena {
 public:
  // A run of neighbouring parameters whose groups are equal: elements [begin, end) of the flat buffers.
  struct Range {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    ParamGroup group;
    std::int64_t numel() const { return end - begin; }
  };

  // Allocates both buffers (contents undefined) and sets value and grad of every parameter. `params` are not
  // owned and must live as long as the arena is used. Throws Error for no parameters, an empty one, or a name
  // used twice.
  ParamArena(const Context& c, std::vector<Param*> params);

  // Flat (numel) fp32. Views of a copy share the storage.
  Tensor& value() { return value_; }
  Tensor& grad() { return grad_; }
  const Tensor& value() const { return value_; }
  const Tensor& grad() const { return grad_; }

  // The values as products read them, rounded to the type of activations; undefined where that is fp32.
  const Tensor& working() const { return working_; }

  std::int64_t numel() const { return value_.numel(); }
  const std::vector<Param*>& params() const { return params_; }
  const std::vector<Range>& ranges() const { return ranges_; }

  void zero_grad(const Context& c);
  // Rounds the values into what products read: after every change of the values that is no optimizer's step,
  // which does it by itself. Nothing to do where activations are fp32.
  void refresh(const Context& c);

  // "name shape" of every parameter, one per line: what a checkpoint's layout is compared by.
  std::string layout() const;

 private:
  std::vector<Param*> params_;
  std::vector<Range> ranges_;
  Tensor value_, grad_;
  Tensor working_;
};

}  // namespace rankine
