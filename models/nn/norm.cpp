#include "models/nn/norm.h"

#include "engine/tape/tape.h"

namespace rankine {

LayerNorm::LayerNorm(std::string path, std::int64_t channels, float eps)
    : path_(std::move(path)),
      eps_(eps),
      gain_(path_ + ".weight", {channels}, WeightKind::vector),
      bias_(path_ + ".bias", {channels}, WeightKind::vector) {}

void LayerNorm::visit(ModelVisitor& v) {
  v.weight(gain_);
  v.weight(bias_);
}

LinearInput LayerNorm::forward(const Context& c, const Tensor& x, const MiddleRequest& wanted) {
  Tensor y = c.like(x, path_);
  Tensor stats = c.empty({x.rows(), 2}, "layer norm statistics", DType::f32);
  LinearInput written(c, y, wanted);
  if (written.middle.defined()) {
    layer_norm_forward_with_middle(c, y, stats, x, gain_.value(), bias_.value(), eps_,
                                   {written.middle, wanted.down});
  } else {
    layer_norm_forward(c, y, stats, x, gain_.value(), bias_.value(), eps_);
  }
  save(c, this, path_, Saved{x, stats});
  derive(c, y, {x}, [this](const Context& k, Tensor& out, const std::vector<Tensor>& from) {
    Tensor again = k.empty({from[0].rows(), 2}, "layer norm statistics", DType::f32);
    layer_norm_forward(k, out, again, from[0], gain_.value(), bias_.value(), eps_);
  });
  return written;
}

Tensor LayerNorm::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, path_);
  if (gain_.trained()) layer_norm_param_grad(c, gain_.grad(), bias_.grad(), dy, s.x, s.stats);
  Tensor dx = c.like(dy, "dx");
  layer_norm_backward(c, dx, dy, s.x, s.stats, gain_.value());
  return dx;
}

RmsNorm::RmsNorm(std::string path, std::int64_t channels, float eps)
    : path_(std::move(path)),
      channels_(channels),
      eps_(eps),
      gain_(path_ + ".weight", {channels}, WeightKind::vector) {}

void RmsNorm::visit(ModelVisitor& v) { v.weight(gain_); }

LinearInput RmsNorm::forward(const Context& c, const Tensor& x, const MiddleRequest& wanted) {
  const Tensor rows = x.reshape(rows_of(x));
  Tensor y = c.like(rows, path_);
  Tensor rstd = c.empty({rows.dim(0)}, "rms norm statistics", DType::f32);
  LinearInput written(c, y.reshape(x.shape()), wanted);
  if (written.middle.defined()) {
    Tensor middle = written.middle.reshape({rows.dim(0), written.middle.cols()});
    rms_norm_forward_with_middle(c, y, rstd, rows, gain_.value(), eps_, {middle, wanted.down});
  } else {
    rms_norm_forward(c, y, rstd, rows, gain_.value(), eps_);
  }
  save(c, this, path_, Saved{rows, rstd});
  derive(c, y, {rows}, [this](const Context& k, Tensor& out, const std::vector<Tensor>& from) {
    Tensor again = k.empty({from[0].dim(0)}, "rms norm statistics", DType::f32);
    rms_norm_forward(k, out, again, from[0], gain_.value(), eps_);
  });
  return written;
}

Tensor RmsNorm::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, path_);
  const Tensor drows = dy.reshape(s.x.shape());
  if (gain_.trained()) rms_norm_param_grad(c, gain_.grad(), drows, s.x, s.rstd);
  Tensor dx = c.like(s.x, "dx");
  rms_norm_backward(c, dx, drows, s.x, s.rstd, gain_.value());
  return dx.reshape(dy.shape());
}

GroupNorm::GroupNorm(std::string path, std::int64_t channels, GroupNormSpec spec)
    : path_(std::move(path)),
      spec_(spec),
      gain_(path_ + ".weight", {channels}, WeightKind::vector),
      bias_(path_ + ".bias", {channels}, WeightKind::vector) {}

void GroupNorm::visit(ModelVisitor& v) {
  v.weight(gain_);
  v.weight(bias_);
}

Tensor GroupNorm::forward(const Context& c, const Tensor& x) {
  Tensor y = c.like(x, path_);
  Tensor stats = c.empty({x.dim(0), spec_.groups, 2}, "group norm statistics", DType::f32);
  group_norm_forward(c, y, stats, x, gain_.value(), bias_.value(), spec_);
  save(c, this, path_, Saved{x, stats});
  derive(c, y, {x}, [this](const Context& k, Tensor& out, const std::vector<Tensor>& from) {
    Tensor again = k.empty({from[0].dim(0), spec_.groups, 2}, "group norm statistics", DType::f32);
    group_norm_forward(k, out, again, from[0], gain_.value(), bias_.value(), spec_);
  });
  return y;
}

Tensor GroupNorm::backward(const Context& c, const Tensor& dy) {
  const Saved s = restore<Saved>(c, this, path_);
  if (gain_.trained()) {
    group_norm_param_grad(c, {gain_.grad(), bias_.grad()}, dy, s.x, s.stats, gain_.value(), bias_.value(),
                          spec_);
  }
  Tensor dx = c.like(dy, "dx");
  group_norm_backward(c, dx, dy, s.x, s.stats, gain_.value(), bias_.value(), spec_);
  return dx;
}

}  // namespace rankine
