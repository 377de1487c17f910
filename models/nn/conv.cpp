#include "models/nn/conv.h"

#include "engine/tape/tape.h"
#include "kernels/lowrank/lowrank.h"
#include "kernels/reduce/reduce.h"

namespace rankine {

Conv2d::Conv2d(std::string path, std::int64_t in, std::int64_t out, Window window)
    : path_(std::move(path)),
      in_(in),
      out_(out),
      window_(window),
      weight_(path_ + ".weight", {out, window.size, window.size, in}, WeightKind::matrix, FileLayout::conv),
      bias_(path_ + ".bias", {out}, WeightKind::vector) {}

void Conv2d::visit(ModelVisitor& v) {
  v.weight(weight_);
  v.weight(bias_);
  v.conv(*this);
}

std::vector<LoraSet*> Conv2d::active_sets(const Context& c) {
  std::vector<LoraSet*> sets;
  for (const auto& set : adapters_) {
    if (set->active(c)) sets.push_back(set.get());
  }
  return sets;
}

Tensor Conv2d::forward(const Context& c, const Tensor& x) {
  Tensor y = c.empty(conv2d_out_shape(x.shape(), out_, window_), path_, x.dtype());
  conv2d_forward(c, y, x, weight_.value(), bias_.value(), window_);
  std::vector<Tensor> middles;
  for (LoraSet* set : active_sets(c)) {
    Tensor s = c.empty(y.shape().with_dim(-1, set->total_rank()), "lora middle", x.dtype());
    conv2d_forward(c, s, x, set->down().working, {}, window_);
    lowrank_drop_middle(c, s, set->middle_dropout(c));
    std::vector<LowRankTerm> terms;
    set->append_terms(terms, s, 0);
    lowrank_up_add(c, y, terms);
    middles.push_back(s);
  }
  // Without a saved input, backward still has to know how large it was: a strided window forgets the odd row.
  if (needs_input())
    save(c, this, path_, Saved{x, std::move(middles)});
  else
    save(c, this, path_, InputShape{{x.dim(0), x.dim(1), x.dim(2), x.dim(3)}});
  return y;
}

std::optional<Tensor> Conv2d::run_backward(const Context& c, const Tensor& dy, bool want_input) {
  Shape in_shape;
  std::vector<Tensor> dmiddles;
  if (needs_input()) {
    const Saved saved = restore<Saved>(c, this, path_);
    in_shape = saved.x.shape();
    const std::vector<LoraSet*> sets = active_sets(c);
    for (std::size_t k = 0; k < sets.size(); ++k) {
      Tensor ds = c.like(saved.middles[k], "lora dS");
      for (LoraMember& m : sets[k]->members()) {
        lowrank_up_backward(c, {ds, m.up.grad}, dy, sets[k]->term(saved.middles[k], m));
      }
      lowrank_drop_middle(c, ds, sets[k]->middle_dropout(c));
      conv2d_weight_grad(c, sets[k]->down().grad, ds, saved.x, window_);
      dmiddles.push_back(ds);
    }
    if (weight_.trained()) conv2d_weight_grad(c, weight_.grad(), dy, saved.x, window_);
    if (bias_.trained()) add_column_sums(c, bias_.grad(), dy);
  } else {
    const InputShape saved = restore<InputShape>(c, this, path_);
    in_shape = Shape(std::span<const std::int64_t>(saved.dims));
  }
  if (!want_input) return std::nullopt;
  Tensor dx = c.empty(in_shape, "dx", dy.dtype());
  conv2d_adjoint(c, dx, dy, weight_.value(), window_, Write::overwrite);
  const std::vector<LoraSet*> sets = active_sets(c);
  for (std::size_t k = 0; k < sets.size(); ++k) {
    conv2d_adjoint(c, dx, dmiddles[k], sets[k]->down().working, window_, Write::accumulate);
  }
  return dx;
}

}  // namespace rankine
