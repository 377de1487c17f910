// A low-rank adapter of one layer (LoRA, Hu et al. 2021; LoCon for k×k convolutions).
//
//   y = W x + sum over members of scale · up · drop(down · x),   scale = alpha / r, or alpha / sqrt(r)
//   (rsLoRA)
// The members of a set adapt linears that read the same x; their down matrices are stacked in one parameter,
// so one product gives all their middles.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/param.h"
#include "kernels/lowrank/lowrank.h"

namespace rankine {

// Dropouts of the middle S, active while training.
struct LoraDropout {
  float neuron = 0;  // each element of S
  float rank = 0;    // each column of S, per sample
  float module = 0;  // the whole set, per micro-batch
  friend bool operator==(const LoraDropout&, const LoraDropout&) = default;
};

// What one member asks for.
struct LoraSpec {
  int rank = 8;
  float alpha = 8;
  bool rank_stabilised = false;  // rsLoRA, Kalajdzievski 2023
  LoraDropout dropout;
  ParamGroup down_group, up_group;  // LoRA+ gives `up` a larger rate
  float scale() const;
};

struct LoraMember {
  std::string name;  // module name in adapter files
  int output = 0;    // which linear of the layer
  LoraSpec spec;
  std::int64_t first = 0;  // its first row of the stacked down, first column of the middle
  Param up;                // (out, r)
};

class LoraSet {
 public:
  // `in` is the length of a down row: in_features, or k·k·in_channels of a convolution.
  LoraSet(std::string layer, Shape down_row);

  // Adds a member before the arena places the parameters.
  void add(std::string name, int output, std::int64_t out_features, const LoraSpec& spec);

  const std::string& layer() const { return layer_; }
  std::vector<LoraMember>& members() { return members_; }
  const std::vector<LoraMember>& members() const { return members_; }
  Param& down() { return down_; }  // (R, in...)
  std::int64_t total_rank() const { return total_rank_; }
  Tensor down_value(const LoraMember& m) const { return down_.value.slice(m.first, m.first + m.spec.rank); }
  std::vector<Param*> params();

  // down ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (Kaiming with a = sqrt 5), up = 0. A function of seed and
  // member name.
  void init(const Context& c, std::uint64_t seed);

  // A user's strength at sampling time; 1 in training.
  void set_strength(float strength) { strength_ = strength; }
  // False when this micro-batch drops the whole set or its strength is 0.
  bool active(const Context& c) const;
  // S = drop(S) in place; s is (N, ..., R). Its own adjoint.
  void apply_dropout(const Context& c, Tensor& s) const;
  // The terms of output `output` on the middle `s`, for the forward product.
  void append_terms(std::vector<LowRankTerm>& terms, const Tensor& s, int output) const;
  // Columns of s that belong to `m`, in the up-projection's form.
  LowRankTerm term(const Tensor& s, const LoraMember& m) const;

 private:
  std::string layer_;
  Param down_;
  std::vector<LoraMember> members_;
  std::int64_t total_rank_ = 0;
  float strength_ = 1;
};

using LoraSets = std::vector<std::unique_ptr<LoraSet>>;

}  // namespace rankine
