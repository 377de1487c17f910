#include "kernels/rope/rope.h"

#include <cmath>

#include "kernels/rope/rope_impl.h"

namespace rankine {
namespace {

void check_spec(std::string_view op, const RopeSpec& s) {
  require<ShapeError>(s.heads > 0 && s.head_dim > 0, op, ": heads and head_dim must be positive, got ",
                      s.heads, " and ", s.head_dim);
  require<ShapeError>(s.rotary_dims > 0 && s.rotary_dims % 2 == 0, op,
                      ": rotary_dims must be positive and even, got ", s.rotary_dims);
  require<ShapeError>(s.first >= 0 && s.first <= s.head_dim && s.rotary_dims <= s.head_dim - s.first, op,
                      ": rotary dimensions from ", s.first, ", ", s.rotary_dims,
                      " of them, leave the head of ", s.head_dim);
  require<ShapeError>(s.pairing == RopeSpec::half || s.pairing == RopeSpec::interleaved, op,
                      ": unknown pairing ", int(s.pairing));
}

void rotate(const Context& c, std::string_view name, RopeRotation args, Tensor& y, const Tensor& x,
            const Tensor& cos_sin) {
  const RopeSpec& s = args.spec;
  check_spec(name, s);
  require<ShapeError>(x.defined() && x.shape().rank() >= 1 && x.cols() == s.heads * s.head_dim, name,
                      ": expected rows of ", s.heads, " heads of ", s.head_dim, ", got ",
                      x.defined() ? x.shape().to_string() : "an undefined tensor");
  check_activation(c, name, "the input", x, x.shape());
  check_shape(name, "the output", y, x.shape());
  check_dtype(name, "the output", y, x.dtype());
  args.rows = x.rows();
  check_float(name, "cos_sin", cos_sin, {args.rows, s.rotary_dims});
  const double turned = double(args.rows) * double(s.heads) * double(s.rotary_dims);
  Op op(c, name, {3 * turned, double(x.bytes() + y.bytes() + cos_sin.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      return cuda::rope_rotate(c.cuda_stream(), {y.raw(), x.raw(), x.dtype(), cos_sin.data<float>(),
                                                 args.rows, args.direction, s});
    }
  }
  args.y = y.data<float>();
  args.x = x.data<float>();
  args.cos_sin = cos_sin.data<float>();
  cpu::rope_rotate(c.pool(), args);
}

}  // namespace

void rope_table(const Context& c, Tensor& cos_sin, const Tensor& positions, const Tensor& inv_freq,
                float attention_factor) {
  constexpr std::string_view kName = "rope_table";
  require<ShapeError>(inv_freq.defined() && inv_freq.shape().rank() == 1 && inv_freq.numel() > 0, kName,
                      ": expected inv_freq (R/2), got ",
                      inv_freq.defined() ? inv_freq.shape().to_string() : "an undefined tensor");
  check_dtype(kName, "inv_freq", inv_freq, DType::f32);
  require<ShapeError>(positions.defined() && positions.shape().rank() == 1, kName,
                      ": expected positions (rows), got ",
                      positions.defined() ? positions.shape().to_string() : "an undefined tensor");
  check_dtype(kName, "positions", positions, DType::i32);
  check_float(kName, "cos_sin", cos_sin, {positions.numel(), 2 * inv_freq.numel()});
  require<ShapeError>(std::isfinite(attention_factor), kName, ": attention_factor is not finite");
  Op op(c, kName, {2 * double(cos_sin.numel()), double(cos_sin.bytes() + positions.bytes())});
  if (op.planned()) return;
  const RopeTable args{cos_sin.data<float>(),  positions.data<std::int32_t>(),
                       inv_freq.data<float>(), positions.numel(),
                       inv_freq.numel(),       attention_factor};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::rope_table(c.cuda_stream(), args);
  }
  cpu::rope_table(c.pool(), args);
}

void rope_forward(const Context& c, Tensor& y, const Tensor& x, const Tensor& cos_sin, const RopeSpec& spec) {
  rotate(c, "rope_forward", {.direction = 1, .spec = spec}, y, x, cos_sin);
}

void rope_backward(const Context& c, Tensor& dx, const Tensor& dy, const Tensor& cos_sin,
                   const RopeSpec& spec) {
  rotate(c, "rope_backward", {.direction = -1, .spec = spec}, dx, dy, cos_sin);
}

}  // namespace rankine
