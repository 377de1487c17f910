#include "kernels/dora/dora.h"

#include "kernels/dora/dora_impl.h"

namespace rankine {

void dora_inverse_norms(const Context& c, Tensor& inverse, const DoraNormTerms& t) {
  constexpr std::string_view kName = "dora_inverse_norms";
  require<ShapeError>(t.up.defined() && t.up.shape().rank() == 2, kName, ": expected up (out, r), got ",
                      t.up.defined() ? t.up.shape().to_string() : "an undefined tensor");
  const std::int64_t out = t.up.dim(0), rank = t.up.dim(1);
  const DType type = check_activation(c, kName, "up", t.up, {out, rank});
  check_of_type(kName, "up_gram", t.up_gram, {out, rank}, type);
  check_of_type(kName, "cross", t.cross, {rank, out}, type);
  check_float(kName, "base", t.base, {out});
  check_float(kName, "inverse", inverse, {out});
  const double n = double(out) * double(rank);
  Op op(c, kName, {5 * n, double(3 * t.up.bytes() + 2 * inverse.bytes())});
  if (op.planned()) return;
  const DoraNormArgs a{inverse.data<float>(),
                       t.base.data<float>(),
                       t.cross.raw(),
                       t.up.raw(),
                       t.up_gram.raw(),
                       type,
                       out,
                       rank,
                       t.scale};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) return cuda::dora_inverse_norms(c.cuda_stream(), a);
  }
  cpu::dora_inverse_norms(c.pool(), a);
}

void dora_magnitude_grad(const Context& c, Tensor& dm, const Tensor& dy, const Tensor& y,
                         const Tensor& inverse) {
  constexpr std::string_view kName = "dora_magnitude_grad";
  require<ShapeError>(y.defined() && y.shape().rank() >= 1, kName, ": expected y (..., out), got ",
                      y.defined() ? y.shape().to_string() : "an undefined tensor");
  const DType type = check_activation(c, kName, "y", y, y.shape());
  check_of_type(kName, "dy", dy, y.shape(), type);
  check_float(kName, "dm", dm, {y.cols()});
  check_float(kName, "inverse", inverse, {y.cols()});
  Tensor partial;
  if (c.device().is_cuda())
    partial = c.workspace({ColumnBlocks{1, y.rows(), y.cols()}.chunks(), y.cols()}, std::string(kName));
  Op op(c, kName, {2.0 * double(y.numel()), double(2 * y.bytes() + 3 * dm.bytes())});
  if (op.planned()) return;
  DoraMagnitudeArgs a{dm.data<float>(),      dy.raw(), y.raw(),  type,
                      inverse.data<float>(), nullptr,  y.rows(), y.cols()};
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      a.partial = partial.data<float>();
      return cuda::dora_magnitude_grad(c.cuda_stream(), a);
    }
  }
  cpu::dora_magnitude_grad(c.pool(), a);
}

}  // namespace rankine
