#include "models/nn/linear.h"

#include "engine/tape/tape.h"
#include "engine/tape/weight_stream.h"
#include "kernels/dora/dora.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/matmul/matmul.h"
#include "kernels/reduce/reduce.h"

namespace rankine {

SharedLinear::SharedLinear(std::int64_t in, std::vector<LinearOutput> outputs, FileLayout layout)
    : in_(in), outputs_(std::move(outputs)), layout_(layout) {
  for (const LinearOutput& o : outputs_) {
    weights_.emplace_back(o.path + ".weight", Shape{o.features, in}, WeightKind::matrix, layout);
    biases_.emplace_back(o.path + ".bias", Shape{o.bias ? o.features : 0}, WeightKind::vector);
  }
}

void SharedLinear::visit(ModelVisitor& v) {
  for (int i = 0; i < outputs(); ++i) {
    v.weight(weights_[i]);
    if (outputs_[i].bias) v.weight(biases_[i]);
  }
  v.linear(*this);
}

bool SharedLinear::needs_input() const {
  if (!adapters_.empty()) return true;
  for (const Weight& w : weights_) {
    if (w.trained()) return true;
  }
  return false;
}

void SharedLinear::init_adapters(const Context& c, std::uint64_t seed) {
  for (const auto& set : adapters_) {
    if (set->starts_from_weights()) need_weights(c, &weights_.front(), Direction::forward);
    set->init(c, seed, weights_);
  }
}

std::vector<LoraSet*> SharedLinear::active_sets(const Context& c) {
  std::vector<LoraSet*> sets;
  for (const auto& set : adapters_) {
    if (set->active(c)) sets.push_back(set.get());
  }
  return sets;
}

SharedLinear::Dora SharedLinear::dora_of(const std::vector<LoraSet*>& sets, int output) const {
  Dora dora;
  int members = 0;
  for (LoraSet* set : sets) {
    for (LoraMember& m : set->members()) {
      if (m.output != output) continue;
      ++members;
      if (m.spec.dora) dora = {set, &m};
    }
  }
  require<Error>(!dora.member || members == 1, "dora: ", outputs_[output].path,
                 " has another adapter besides; the norm of their sum is not defined");
  require<Error>(!dora.member || !weights_[output].trained(), "dora: ", outputs_[output].path,
                 " is trained in full");
  return dora;
}

// y holds W x + s B A x; leaves m / n ⊙ y + b there and keeps y as it was.
void SharedLinear::scale_rows(const Context& c, Tensor& y, int output, const Dora& dora, Saved& saved) {
  const Tensor plain = y, &w = weights_[output].value();
  saved.inverse[output] = dora.set->inverse_norm(c, w, *dora.member);
  saved.factors[output] = dora.set->dora_factor(c, w, *dora.member, saved.inverse[output]);
  saved.plain[output] = plain;
  y = c.like(plain, outputs_[output].path);
  const std::int64_t features = outputs_[output].features;
  Tensor rows = y.reshape({1, y.rows(), features});
  copy(c, y, plain);
  multiply_per_sample(c, rows, saved.factors[output].reshape({1, features}));
  if (outputs_[output].bias) add_per_sample(c, rows, biases_[output].value().reshape({1, features}));
}

MiddleRequest SharedLinear::wants(const Context& c) {
  const std::vector<LoraSet*> sets = active_sets(c);
  if (sets.empty() || sets.front()->input_dropout(c).p > 0) return {};
  return {sets.front(), sets.front()->down().working};
}

// S of each set, dropout applied: what came with x, or made here.
std::vector<Tensor> SharedLinear::middles(const Context& c, const LinearInput& in,
                                          const std::vector<LoraSet*>& sets) {
  std::vector<Tensor> all;
  bool taken = !in.middle.defined();
  for (LoraSet* set : sets) {
    Tensor s;
    if (in.middle.defined() && in.adapters == set) {
      s = in.middle;
      taken = true;
    } else {
      s = c.empty(in.x.shape().with_dim(-1, set->total_rank()), "lora middle", in.x.dtype());
      lowrank_middle(c, s, in.x, set->down().working, set->input_dropout(c));
    }
    lowrank_drop_middle(c, s, set->middle_dropout(c));
    all.push_back(s);
  }
  if (!taken) throw std::logic_error("linear: x came with the middle of adapters that do not read it");
  return all;
}

std::vector<Tensor> SharedLinear::forward(const Context& c, const LinearInput& in) {
  const Tensor& x = in.x;
  const std::vector<LoraSet*> sets = active_sets(c);
  const std::vector<Tensor> none(outputs_.size());
  Saved saved{x, middles(c, in, sets), none, none, none};
  std::vector<Tensor> initial_middles;
  initial_middles.reserve(sets.size());
  for (LoraSet* set : sets) initial_middles.push_back(set->pissa() ? set->initial_middle(c, x) : Tensor());
  std::vector<Tensor> ys;
  for (int i = 0; i < outputs(); ++i) {
    std::vector<LowRankTerm> terms;
    for (std::size_t k = 0; k < sets.size(); ++k) {
      sets[k]->append_terms(terms, saved.middles[k], i);
      if (sets[k]->pissa()) sets[k]->append_initial_terms(terms, initial_middles[k], i);
    }
    const Dora dora = dora_of(sets, i);
    Tensor y = c.empty(x.shape().with_dim(-1, outputs_[i].features), outputs_[i].path, x.dtype());
    lowrank_linear_forward(c, y, x, weights_[i].value(), dora.member ? Tensor() : biases_[i].value(), terms);
    if (dora.member) scale_rows(c, y, i, dora, saved);
    ys.push_back(y);
  }
  if (needs_input()) save(c, this, outputs_[0].path, std::move(saved));
  return ys;
}

void SharedLinear::weight_gradients(const Context& c, const std::vector<Tensor>& dys, const Tensor& x) {
  for (int i = 0; i < outputs(); ++i) {
    if (weights_[i].trained()) linear_weight_grad(c, weights_[i].grad(), dys[i], x);
    if (biases_[i].trained()) add_column_sums(c, biases_[i].grad(), dys[i]);
  }
}

// Adds the gradient of m and returns that of the product before its rows were scaled.
Tensor SharedLinear::dora_backward(const Context& c, const Tensor& dy, int output, const Saved& saved) {
  const std::int64_t features = outputs_[output].features;
  Tensor& dm = dora_of(active_sets(c), output).member->magnitude.grad;
  dora_magnitude_grad(c, dm, dy, saved.plain[output], saved.inverse[output]);
  Tensor product = c.like(dy, "dora d product");
  copy(c, product, dy);
  Tensor rows = product.reshape({1, product.rows(), features});
  multiply_per_sample(c, rows, saved.factors[output].reshape({1, features}));
  return product;
}

void SharedLinear::input_gradient(const Context& c, const std::vector<Tensor>& dys,
                                  const std::vector<Tensor>& dmiddles, Tensor& dx, Write write) {
  // The low-rank part of every output sits in the shared dS, so it joins the product of the last output only.
  std::vector<LowRankTerm> terms;
  const std::vector<LoraSet*> sets = active_sets(c);
  for (std::size_t k = 0; k < sets.size(); ++k) {
    terms.push_back({dmiddles[k], 0, sets[k]->down().working, 1.0F, sets[k]->input_dropout(c)});
    if (!sets[k]->pissa()) continue;
    for (const LoraMember& m : sets[k]->members())
      terms.push_back(sets[k]->initial_adjoint(c, dys[m.output], m));
  }
  for (int i = 0; i < outputs(); ++i) {
    const bool last = i + 1 == outputs();
    lowrank_linear_adjoint(c, dx, dys[i], weights_[i].value(), last ? terms : std::vector<LowRankTerm>{},
                           i == 0 ? write : Write::accumulate);
  }
}

Tensor SharedLinear::backward(const Context& c, const std::vector<Tensor>& dys) {
  Tensor dx = c.empty(dys[0].shape().with_dim(-1, in_), "dx", dys[0].dtype());
  run_backward(c, dys, &dx, Write::overwrite);
  return dx;
}

void SharedLinear::backward_into(const Context& c, const std::vector<Tensor>& dys, Tensor* dx) {
  run_backward(c, dys, dx, Write::accumulate);
}

void SharedLinear::run_backward(const Context& c, const std::vector<Tensor>& dys, Tensor* dx, Write write) {
  std::vector<Tensor> dmiddles, dproducts = dys;
  if (needs_input()) {
    const Saved saved = restore<Saved>(c, this, outputs_[0].path);
    for (int i = 0; i < outputs(); ++i) {
      if (saved.plain[i].defined()) dproducts[i] = dora_backward(c, dys[i], i, saved);
    }
    dmiddles = adapter_gradients(c, dproducts, saved);
    weight_gradients(c, dys, saved.x);
  }
  if (dx) input_gradient(c, dproducts, dmiddles, *dx, write);
}

std::vector<Tensor> SharedLinear::adapter_gradients(const Context& c, const std::vector<Tensor>& dys,
                                                    const Saved& saved) {
  std::vector<Tensor> dmiddles;
  const std::vector<LoraSet*> sets = active_sets(c);
  for (std::size_t k = 0; k < sets.size(); ++k) {
    Tensor ds = c.like(saved.middles[k], "lora dS");
    for (LoraMember& m : sets[k]->members()) {
      lowrank_up_backward(c, {ds, m.up.grad}, dys[m.output], sets[k]->term(saved.middles[k], m));
    }
    lowrank_drop_middle(c, ds, sets[k]->middle_dropout(c));
    lowrank_down_grad(c, sets[k]->down().grad, ds, saved.x, sets[k]->input_dropout(c));
    dmiddles.push_back(ds);
  }
  return dmiddles;
}

}  // namespace rankine
