#include "models/nn/linear.h"

#include "engine/tape/tape.h"
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

std::vector<LoraSet*> SharedLinear::active_sets(const Context& c) {
  std::vector<LoraSet*> sets;
  for (const auto& set : adapters_) {
    if (set->active(c)) sets.push_back(set.get());
  }
  return sets;
}

std::vector<Tensor> SharedLinear::forward(const Context& c, const Tensor& x) {
  const std::vector<LoraSet*> sets = active_sets(c);
  std::vector<Tensor> middles;
  for (LoraSet* set : sets) {
    Tensor s = c.empty(x.shape().with_dim(-1, set->total_rank()), "lora middle");
    lowrank_middle(c, s, x, set->down().value);
    set->apply_dropout(c, s);
    middles.push_back(s);
  }
  std::vector<Tensor> ys;
  for (int i = 0; i < outputs(); ++i) {
    std::vector<LowRankTerm> terms;
    for (std::size_t k = 0; k < sets.size(); ++k) sets[k]->append_terms(terms, middles[k], i);
    Tensor y = c.empty(x.shape().with_dim(-1, outputs_[i].features), outputs_[i].path);
    lowrank_linear_forward(c, y, x, weights_[i].value(), biases_[i].value(), terms);
    ys.push_back(y);
  }
  if (needs_input()) save(c, this, outputs_[0].path, Saved{x, std::move(middles)});
  return ys;
}

void SharedLinear::weight_gradients(const Context& c, const std::vector<Tensor>& dys, const Tensor& x) {
  for (int i = 0; i < outputs(); ++i) {
    if (weights_[i].trained()) linear_weight_grad(c, weights_[i].grad(), dys[i], x);
    if (biases_[i].trained()) add_column_sums(c, biases_[i].grad(), dys[i]);
  }
}

void SharedLinear::input_gradient(const Context& c, const std::vector<Tensor>& dys,
                                  const std::vector<Tensor>& dmiddles, Tensor& dx, Write write) {
  // The low-rank part of every output sits in the shared dS, so it joins the product of the last output only.
  std::vector<LowRankTerm> terms;
  const std::vector<LoraSet*> sets = active_sets(c);
  for (std::size_t k = 0; k < sets.size(); ++k)
    terms.push_back({dmiddles[k], 0, sets[k]->down().value, 1.0F});
  for (int i = 0; i < outputs(); ++i) {
    const bool last = i + 1 == outputs();
    lowrank_linear_adjoint(c, dx, dys[i], weights_[i].value(), last ? terms : std::vector<LowRankTerm>{},
                           i == 0 ? write : Write::accumulate);
  }
}

Tensor SharedLinear::backward(const Context& c, const std::vector<Tensor>& dys) {
  Tensor dx = c.empty(dys[0].shape().with_dim(-1, in_), "dx");
  run_backward(c, dys, &dx, Write::overwrite);
  return dx;
}

void SharedLinear::backward_into(const Context& c, const std::vector<Tensor>& dys, Tensor* dx) {
  run_backward(c, dys, dx, Write::accumulate);
}

void SharedLinear::run_backward(const Context& c, const std::vector<Tensor>& dys, Tensor* dx, Write write) {
  std::vector<Tensor> dmiddles;
  if (needs_input()) {
    const Saved saved = restore<Saved>(c, this, outputs_[0].path);
    dmiddles = adapter_gradients(c, dys, saved);
    weight_gradients(c, dys, saved.x);
  }
  if (dx) input_gradient(c, dys, dmiddles, *dx, write);
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
    sets[k]->apply_dropout(c, ds);
    lowrank_down_grad(c, sets[k]->down().grad, ds, saved.x);
    dmiddles.push_back(ds);
  }
  return dmiddles;
}

}  // namespace rankine
