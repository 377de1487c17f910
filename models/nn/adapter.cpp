#include "models/nn/adapter.h"

#include <algorithm>
#include <cmath>

#include "engine/core/transfer.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/matmul.h"
#include "kernels/random/random.h"
#include "models/nn/principal.h"

namespace rankine {
namespace {

Shape stacked(std::int64_t rows, const Shape& row) {
  std::vector<std::int64_t> dims{rows};
  dims.insert(dims.end(), row.dims().begin(), row.dims().end());
  return Shape(std::span<const std::int64_t>(dims));
}

// A stream per sample: a mask does not depend on how samples share micro-batches.
SampleDropout sample_dropout(const Context& c, std::string_view name, float p) {
  return {c.random(purpose(name), 0), c.training ? p : 0};
}

}  // namespace

float LoraSpec::scale() const {
  return alpha / (rank_stabilised ? std::sqrt(static_cast<float>(rank)) : static_cast<float>(rank));
}

LoraSet::LoraSet(std::string layer, Shape down_row) : layer_(std::move(layer)) {
  down_.name = layer_ + ".lora_down";
  down_.shape = stacked(0, down_row);
}

void LoraSet::add(std::string name, int output, std::int64_t out_features, const LoraSpec& spec) {
  require<ConfigError>(spec.rank >= 1, "lora: rank of ", name, " must be at least 1, got ", spec.rank);
  const bool linear = down_.shape.rank() == 2;
  require<ConfigError>(linear || (!spec.dora && spec.init == LoraInit::kaiming && spec.dropout.input == 0),
                       "lora: ", name, " is a convolution, which has no DoRA, PiSSA or input dropout");
  require<ConfigError>(!spec.dora || spec.init == LoraInit::kaiming, "lora: ", name,
                       " asks for DoRA and PiSSA; only one of them");
  require<Error>(members_.empty() || (members_.front().spec.dropout == spec.dropout &&
                                      members_.front().spec.init == spec.init),
                 "lora: members of ", layer_, " must share their dropout and init");
  LoraMember m{std::move(name), output, spec, total_rank_, {}, {}, {}, {}};
  m.up = {m.name + ".lora_up", Shape{out_features, spec.rank}, spec.up_group, {}, {}};
  if (spec.dora) m.magnitude = {m.name + ".magnitude", Shape{out_features}, spec.magnitude_group, {}, {}};
  members_.push_back(std::move(m));
  total_rank_ += spec.rank;
  down_.shape = down_.shape.with_dim(0, total_rank_);
  down_.group = spec.down_group;
}

std::vector<Param*> LoraSet::params() {
  std::vector<Param*> all{&down_};
  for (LoraMember& m : members_) {
    all.push_back(&m.up);
    if (m.spec.dora) all.push_back(&m.magnitude);
  }
  return all;
}

void LoraSet::set_factors(LoraMember& m, std::span<const float> down, std::span<const float> up) {
  for (const Tensor& all : {down_.value, down_.working}) {
    Tensor rows = all.slice(m.first, m.first + m.spec.rank);
    set_floats(rows, down);
  }
  for (Tensor to : {m.up.value, m.up.working}) set_floats(to, up);
}

void LoraSet::init(const Context& c, std::uint64_t seed, std::span<const Weight> frozen) {
  const std::int64_t fan_in = down_.shape.numel() / down_.shape[0];
  const float bound = 1.0F / std::sqrt(static_cast<float>(fan_in));
  if (pissa())
    initial_down_ = Tensor(c.memory(), down_.shape, c.activations(), Account::adapters, "pissa down");
  for (LoraMember& m : members_) {
    const bool needs_weight = m.spec.dora || pissa();
    if (needs_weight && static_cast<std::size_t>(m.output) >= frozen.size())
      throw std::logic_error("lora: " + m.name + " starts from its weight, which init did not get");
    if (pissa()) {
      init_pissa(c, seed, frozen[m.output].value(), m);
      continue;
    }
    Tensor rows = down_value(m);
    fill_uniform(c, rows, RandomStream{seed, purpose(m.name), 0, 0}, -bound, bound);
    fill(c, m.up.value, 0);
    if (m.spec.dora) copy(c, m.magnitude.value, m.norm.base(c, frozen[m.output].value()));
  }
}

bool LoraSet::starts_from_weights() const {
  return pissa() ||
         std::any_of(members_.begin(), members_.end(), [](const LoraMember& m) { return m.spec.dora; });
}

void LoraSet::init_pissa(const Context& c, std::uint64_t seed, const Tensor& w, LoraMember& m) {
  const std::string name = m.name + ".pissa";
  const PrincipalParts parts = principal_parts(c, w, {m.spec.rank, m.spec.pissa_iterations, seed, name});
  m.initial_up = Tensor(c.memory(), m.up.shape, c.activations(), Account::adapters, "pissa up");
  Tensor rows = down_value(m), initial_rows = initial_down(m);
  if (!c.planning()) {
    const std::int64_t rank = m.spec.rank, in = rows.dim(1), out = m.up.shape[0];
    std::vector<float> down(static_cast<std::size_t>(rank * in)), up(static_cast<std::size_t>(out * rank));
    for (std::int64_t r = 0; r < rank; ++r) {
      const double root = std::sqrt(parts.values[r] / static_cast<double>(m.spec.scale()));
      for (std::int64_t k = 0; k < in; ++k)
        down[r * in + k] = static_cast<float>(root * parts.right[r * in + k]);
      for (std::int64_t o = 0; o < out; ++o)
        up[o * rank + r] = static_cast<float>(root * parts.left[r * out + o]);
    }
    set_floats(rows, down);
    set_floats(m.up.value, up);
  }
  copy(c, initial_rows, rows);
  copy(c, m.initial_up, m.up.value);
}

void place(const Context& c, Param& p) {
  p.value = Tensor(c.memory(), p.shape, DType::f32, Account::adapters, p.name);
  p.working = c.activations() == DType::f32
                  ? p.value
                  : Tensor(c.memory(), p.shape, c.activations(), Account::adapters, p.name);
}

bool LoraSet::active(const Context& c) const {
  if (strength_ == 0) return false;
  const float p = members_.front().spec.dropout.module;
  if (!c.training || p == 0) return true;
  return HostRandom(c.random(purpose(layer_ + ".module_dropout"), 0)).uniform() >= p;
}

MiddleDropout LoraSet::middle_dropout(const Context& c) const {
  const LoraDropout& drop = members_.front().spec.dropout;
  return {sample_dropout(c, layer_ + ".dropout", drop.neuron),
          sample_dropout(c, layer_ + ".rank_dropout", drop.rank)};
}

SampleDropout LoraSet::input_dropout(const Context& c) const {
  return sample_dropout(c, layer_ + ".input_dropout", members_.front().spec.dropout.input);
}

Tensor LoraSet::initial_middle(const Context& c, const Tensor& x) const {
  if (!initial_down_.defined())
    throw std::logic_error("lora: pissa of " + layer_ + " is used before init gave it its frozen pair");
  Tensor s0 = c.empty(x.shape().with_dim(-1, total_rank_), "pissa middle");
  lowrank_middle(c, s0, x, initial_down_);
  return s0;
}

LowRankTerm LoraSet::term(const Tensor& s, const LoraMember& m) const {
  return {s, m.first, m.up.working, strength_ * m.spec.scale()};
}

void LoraSet::append_terms(std::vector<LowRankTerm>& terms, const Tensor& s, int output) const {
  for (const LoraMember& m : members_) {
    if (m.output == output) terms.push_back(term(s, m));
  }
}

void LoraSet::append_initial_terms(std::vector<LowRankTerm>& terms, const Tensor& s0, int output) const {
  for (const LoraMember& m : members_) {
    if (m.output == output) terms.push_back({s0, m.first, m.initial_up, -strength_ * m.spec.scale()});
  }
}

LowRankTerm LoraSet::initial_adjoint(const Context& c, const Tensor& dy, const LoraMember& m) const {
  Tensor ds0 = c.empty(dy.shape().with_dim(-1, m.spec.rank), "pissa dS");
  linear_adjoint(c, ds0, dy, m.initial_up, Write::overwrite);
  return {ds0, 0, initial_down(m), -strength_ * m.spec.scale()};
}

Tensor LoraSet::inverse_norm(const Context& c, const Tensor& w, LoraMember& m) const {
  const Tensor down = down_.working.slice(m.first, m.first + m.spec.rank);
  return m.norm.inverse(c, w, {down, m.up.working, strength_ * m.spec.scale()});
}

Tensor LoraSet::dora_factor(const Context& c, const Tensor& w, LoraMember& m, const Tensor& inverse) const {
  Tensor factor = c.empty(m.magnitude.shape, "dora factor", DType::f32);
  copy(c, factor, m.magnitude.value);
  if (strength_ != 1) lerp(c, factor, m.norm.base(c, w), 1 - strength_);
  multiply(c, factor, factor, inverse);
  return factor;
}

}  // namespace rankine
