// A source of tensors that has names, types and shapes, and no numbers: a plan loads from it what a run would
// load from the file of such a model.
#pragma once

#include <string>

#include "io/formats/tensor_source.h"
#include "models/nn/weight.h"

namespace rankine {

class ShapeSource final : public TensorSource {
 public:
  explicit ShapeSource(std::string name) : name_(std::move(name)) {}

  // All weights of `model` under their paths, matrices and vectors in fp16 as files have them.
  template <class Model>
  void add(Model& model) {
    Lister lister(tensors_);
    model.visit(lister);
  }

  std::string describe() const override { return name_; }
  const TensorTable& tensors() const override { return tensors_; }
  const MetadataTable& metadata() const override { return metadata_; }
  TensorBytes load(std::string_view name) const override;  // throws ConfigError: there are none

 private:
  class Lister final : public ModelVisitor {
   public:
    explicit Lister(TensorTable& out) : out_(out) {}
    void weight(Weight& w) override;

   private:
    TensorTable& out_;
  };

  std::string name_;
  TensorTable tensors_;
  MetadataTable metadata_;
};

}  // namespace rankine
