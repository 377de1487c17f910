// One stored tensor of a model: frozen by default, or trained in full.
//
// A frozen weight is data of a linear map and has no gradient to forget. Under `method: full` the same weight
// becomes a view of the parameter arena: layers read value() either way and add to grad() only when
// trained().
#pragma once

#include <string>

#include "engine/core/context.h"
#include "engine/core/param.h"

namespace rankine {

// How a file orders the elements of a weight that memory holds as `shape`.
enum class FileLayout : std::uint8_t {
  same,      // identical
  conv,      // file (out, in, kh, kw); memory (out, kh, kw, in)
  conv_1x1,  // file (out, in, 1, 1) or (out, in); memory (out, in): a pointwise convolution is a Linear
};

// What the numbers are used for decides how they may be stored.
enum class WeightKind : std::uint8_t {
  matrix,  // operand of a product: stays in the file's float type
  vector,  // gain, bias, embedding of positions: fp32 in memory
};

class Weight {
 public:
  Weight(std::string path, Shape shape, WeightKind kind, FileLayout layout = FileLayout::same)
      : path_(std::move(path)), shape_(shape), kind_(kind), layout_(layout) {}

  const std::string& path() const {
    return path_;
  }  // name in the model's own spelling, ends in .weight or .bias
  const Shape& shape() const { return shape_; }
  WeightKind kind() const { return kind_; }
  FileLayout layout() const { return layout_; }

  // What layers compute with: products read a trained matrix in the type of activations, gains and biases are
  // fp32.
  const Tensor& value() const {
    if (!trained()) return value_;
    return kind_ == WeightKind::matrix ? param_.working : param_.value;
  }
  void set_value(Tensor value) { value_ = std::move(value); }

  // Makes the weight a parameter named by its path; the arena then places it.
  Param& train(ParamGroup group) {
    param_ = {path_, shape_, group, {}, {}, {}};
    trained_ = true;
    return param_;
  }
  bool trained() const { return trained_; }
  Tensor& grad() { return param_.grad; }
  Param& param() { return param_; }
  // The frozen value that a trained weight starts from.
  const Tensor& initial() const { return value_; }
  void drop_initial() { value_ = {}; }

 private:
  std::string path_;
  Shape shape_;
  WeightKind kind_;
  FileLayout layout_;
  Tensor value_;
  Param param_;
  bool trained_ = false;
};

class SharedLinear;
class Conv2d;

// Walks a model: every layer shows its stored tensors and its adaptable maps, in a fixed order: that of a
// forward pass, as far as units go.
class ModelVisitor {
 public:
  virtual ~ModelVisitor() = default;
  // Around what belongs to a unit (engine/tape/unit.h); `owner` is the one that its tape frames have.
  virtual void begin_unit(const void* owner, const std::string& path) {}
  virtual void end_unit() {}
  virtual void weight(Weight& w) {}
  virtual void linear(SharedLinear& layer) {}  // after its weights
  virtual void conv(Conv2d& layer) {}
};

}  // namespace rankine
