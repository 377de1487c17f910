#include "models/nn/adapter.h"

#include <cmath>

#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"

namespace rankine {
namespace {

Shape stacked(std::int64_t rows, const Shape& row) {
  std::vector<std::int64_t> dims{rows};
  dims.insert(dims.end(), row.dims().begin(), row.dims().end());
  return Shape(std::span<const std::int64_t>(dims));
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
  require<Error>(members_.empty() || members_.front().spec.dropout == spec.dropout, "lora: members of ",
                 layer_, " must share their dropout");
  LoraMember m{std::move(name), output, spec, total_rank_, {}};
  m.up = {m.name + ".lora_up", Shape{out_features, spec.rank}, spec.up_group, {}, {}};
  members_.push_back(std::move(m));
  total_rank_ += spec.rank;
  down_.shape = down_.shape.with_dim(0, total_rank_);
  down_.group = spec.down_group;
}

std::vector<Param*> LoraSet::params() {
  std::vector<Param*> all{&down_};
  for (LoraMember& m : members_) all.push_back(&m.up);
  return all;
}

void LoraSet::init(const Context& c, std::uint64_t seed) {
  const float bound = 1.0F / std::sqrt(static_cast<float>(down_.shape.numel() / down_.shape[0]));
  for (LoraMember& m : members_) {
    Tensor rows = down_value(m);
    fill_uniform(c, rows, RandomStream{seed, purpose(m.name), 0, 0}, -bound, bound);
    fill(c, m.up.value, 0);
  }
}

bool LoraSet::active(const Context& c) const {
  if (strength_ == 0) return false;
  const float p = members_.front().spec.dropout.module;
  if (!c.training || p == 0) return true;
  return HostRandom(c.random(purpose(layer_ + ".module_dropout"), 0)).uniform() >= p;
}

void LoraSet::apply_dropout(const Context& c, Tensor& s) const {
  const LoraDropout& drop = members_.front().spec.dropout;
  if (!c.training || (drop.neuron == 0 && drop.rank == 0)) return;
  const std::int64_t samples = s.dim(0);
  for (std::int64_t n = 0; n < samples && drop.neuron > 0; ++n) {
    Tensor row = s.slice(n, n + 1);
    dropout(c, row, row, c.random(purpose(layer_ + ".dropout"), static_cast<std::uint32_t>(n)), drop.neuron);
  }
  if (drop.rank > 0) {
    Tensor mask = c.empty({samples, total_rank_}, "rank mask");
    fill(c, mask, 1);
    for (std::int64_t n = 0; n < samples; ++n) {
      Tensor row = mask.slice(n, n + 1);
      dropout(c, row, row, c.random(purpose(layer_ + ".rank_dropout"), static_cast<std::uint32_t>(n)),
              drop.rank);
    }
    multiply_per_sample(c, s, mask);
  }
}

LowRankTerm LoraSet::term(const Tensor& s, const LoraMember& m) const {
  return {s, m.first, m.up.value, strength_ * m.spec.scale()};
}

void LoraSet::append_terms(std::vector<LowRankTerm>& terms, const Tensor& s, int output) const {
  for (const LoraMember& m : members_) {
    if (m.output == output) terms.push_back(term(s, m));
  }
}

}  // namespace rankine
