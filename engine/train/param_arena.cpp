#include "engine/train/param_arena.h"

#include <set>

#include "kernels/elementwise/elementwise.h"

namespace rankine {

namespace {

bool same_group(const ParamGroup& a, const ParamGroup& b) {
  return a.lr_scale == b.lr_scale && a.decay == b.decay;
}

}  // namespace

ParamArena::ParamArena(const Context& c, std::vector<Param*> params) : params_(std::move(params)) {
  require(!params_.empty(), "ParamArena: nothing to train: the task has no parameters");
  std::set<std::string> names;
  std::int64_t total = 0;
  for (const Param* p : params_) {
    require(names.insert(p->name).second, "ParamArena: two parameters are named \"", p->name, "\"");
    require(p->shape.numel() > 0, "ParamArena: parameter \"", p->name, "\" is empty: ", p->shape);
    const std::int64_t end = total + p->shape.numel();
    if (!ranges_.empty() && same_group(ranges_.back().group, p->group))
      ranges_.back().end = end;
    else
      ranges_.push_back({total, end, p->group});
    total = end;
  }
  value_ = Tensor(c.memory(), {total}, DType::f32, Account::adapters, "parameters");
  grad_ = Tensor(c.memory(), {total}, DType::f32, Account::adapters, "gradients");
  if (c.activations() != DType::f32)
    working_ = Tensor(c.memory(), {total}, c.activations(), Account::adapters, "working parameters");
  std::int64_t at = 0;
  for (Param* p : params_) {
    p->value = value_.flat(at, p->shape);
    p->grad = grad_.flat(at, p->shape);
    p->working = (working_.defined() ? working_ : value_).flat(at, p->shape);
    at += p->shape.numel();
  }
}

void ParamArena::zero_grad(const Context& c) { fill(c, grad_, 0.0F); }

void ParamArena::refresh(const Context& c) {
  if (working_.defined()) copy(c, working_, value_);
}

std::string ParamArena::layout() const {
  std::string text;
  for (const Param* p : params_) text += p->name + " " + p->shape.to_string() + "\n";
  return text;
}

}  // namespace rankine
