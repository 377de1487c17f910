// A low-rank adapter of one layer (LoRA, Hu et al. 2021; LoCon for k×k convolutions).
//
//   LoRA   y = W x + sum over members of s · up · drop(down · drop(x)),
//          s = alpha / r, or alpha / sqrt(r) (rsLoRA)
//   DoRA   y = m/n ⊙ (W x + s · up · ...),  n_i = ||row i of W + s · up · down||   (Liu et al. 2024)
//   PiSSA  y = W x + s · (up · drop(down · drop(x)) - up0 · down0 · x)             (Meng et al. 2024)
//
// The members of a set adapt linears that read the same x; their down matrices are stacked in one parameter,
// so one product gives all their middles. A bias is added last, outside of m/n.
//
// DoRA's m (out) is trained and starts as ||w_i||; backward takes n for a constant, as the paper and PEFT do
// (models/nn/dora.h has n). Dropout touches the adapter alone, not the m/n of W x; PEFT drops x there too,
// which costs it a second product with W.
//
// PiSSA's up, down start as the principal directions of W and up0, down0 are their frozen copies, so W itself
// (perhaps quantised) is never changed, and y starts as W x. As a plain LoRA it has rank 2 r:
// [up, -up0] · [down; down0].
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/param.h"
#include "kernels/lowrank/lowrank.h"
#include "models/nn/dora.h"
#include "models/nn/weight.h"

namespace rankine {

// Active while training. A sample is an index of the leading dimension of x.
struct LoraDropout {
  float neuron = 0;  // each element of the middle S = down · x
  float rank = 0;    // each column of S, per sample
  float module = 0;  // the whole set, per micro-batch
  float input = 0;   // each element of x on its way to `down`: PEFT's lora_dropout. One mask for all members.
  friend bool operator==(const LoraDropout&, const LoraDropout&) = default;
};

enum class LoraInit : std::uint8_t {
  kaiming,  // down ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)) (Kaiming with a = sqrt 5), up = 0
  pissa,    // sqrt of the principal singular values on both sides
};

// What one member asks for. Members of a set agree on dropout and init.
struct LoraSpec {
  int rank = 8;
  float alpha = 8;
  bool rank_stabilised = false;  // rsLoRA, Kalajdzievski 2023
  LoraDropout dropout;
  ParamGroup down_group, up_group;  // LoRA+ gives `up` a larger rate
  bool dora = false;                // not with pissa, not for convolutions, and the only member of its output
  LoraInit init = LoraInit::kaiming;       // pissa: not for convolutions
  int pissa_iterations = 8;                // models/nn/principal.h
  ParamGroup magnitude_group{1.0, false};  // DoRA's m; decay would pull it to 0, not to ||w||
  float scale() const;
};

struct LoraMember {
  std::string name;  // module name in adapter files
  int output = 0;    // which linear of the layer
  LoraSpec spec;
  std::int64_t first = 0;  // its first row of the stacked down, first column of the middle
  Param up;                // (out, r)
  Param magnitude;         // DoRA: m (out)
  DoraNorm norm;           // DoRA
  Tensor initial_up;       // PiSSA: up0 (out, r), once initialised
};

class LoraSet {
 public:
  // `in` is the length of a down row: in_features, or k·k·in_channels of a convolution.
  LoraSet(std::string layer, Shape down_row);

  // Adds a member before the arena places the parameters. Throws ConfigError for a spec that its layer cannot
  // have.
  void add(std::string name, int output, std::int64_t out_features, const LoraSpec& spec);

  const std::string& layer() const { return layer_; }
  std::vector<LoraMember>& members() { return members_; }
  const std::vector<LoraMember>& members() const { return members_; }
  Param& down() { return down_; }  // (R, in...)
  std::int64_t total_rank() const { return total_rank_; }
  Tensor down_value(const LoraMember& m) const { return down_.value.slice(m.first, m.first + m.spec.rank); }
  Tensor initial_down(const LoraMember& m) const {
    return initial_down_.slice(m.first, m.first + m.spec.rank);
  }
  // Writes a member's down (r, in) and up (out, r), in memory's order.
  void set_factors(LoraMember& m, std::span<const float> down, std::span<const float> up);
  std::vector<Param*> params();

  // A function of seed, member name and, for DoRA and PiSSA, the frozen weights, one per output of the layer:
  // use SharedLinear::init_adapters for those. A resumed PiSSA run calls it too, for up0 and down0, before
  // the parameters come back.
  void init(const Context& c, std::uint64_t seed, std::span<const Weight> frozen = {});
  bool starts_from_weights() const;
  bool pissa() const { return members_.front().spec.init == LoraInit::pissa; }

  // A user's strength u at sampling time; 1 in training. Scales s; DoRA's m becomes (1 - u) ||w_i|| + u m.
  void set_strength(float strength) { strength_ = strength; }
  // False when this micro-batch drops the whole set or its strength is 0.
  bool active(const Context& c) const;
  // What a middle S (N, ..., R) and dS pass through, and what x passes on its way to `down`; p = 0: nothing.
  MiddleDropout middle_dropout(const Context& c) const;
  SampleDropout input_dropout(const Context& c) const;
  // S0 = x · down0ᵀ of PiSSA.
  Tensor initial_middle(const Context& c, const Tensor& x) const;

  // The terms of output `output` on the middle `s`, for the forward product.
  void append_terms(std::vector<LowRankTerm>& terms, const Tensor& s, int output) const;
  // PiSSA's frozen terms, on its middle s0.
  void append_initial_terms(std::vector<LowRankTerm>& terms, const Tensor& s0, int output) const;
  // Columns of s that belong to `m`, in the up-projection's form.
  LowRankTerm term(const Tensor& s, const LoraMember& m) const;
  // What a member of PiSSA's frozen pair adds to dx = dy · W, as a term of that product.
  LowRankTerm initial_adjoint(const Context& c, const Tensor& dy, const LoraMember& m) const;

  // DoRA: 1 / n (out), and with it the factor m / n of the strength.
  Tensor inverse_norm(const Context& c, const Tensor& w, LoraMember& m) const;
  Tensor dora_factor(const Context& c, const Tensor& w, LoraMember& m, const Tensor& inverse) const;

 private:
  void init_pissa(const Context& c, std::uint64_t seed, const Tensor& w, LoraMember& m);

  std::string layer_;
  Param down_;
  std::vector<LoraMember> members_;
  std::int64_t total_rank_ = 0;
  float strength_ = 1;
  Tensor initial_down_;  // PiSSA: (R, in)
};

// Memory of a parameter that is used and not trained: a value and what products read, no gradient.
void place(const Context& c, Param& p);

using LoraSets = std::vector<std::unique_ptr<LoraSet>>;

}  // namespace rankine
