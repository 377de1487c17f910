#include "kernels/embedding/embedding.h"

#include "kernels/embedding/embedding_impl.h"

namespace rankine {
namespace {

// y (..., C) for ids (...) and a table (V, C).
void check_lookup(const Context& c, std::string_view op, const Tensor& y, const Tensor& table,
                  const Tensor& ids) {
  require<ShapeError>(table.defined() && table.shape().rank() == 2, op, ": expected a table (V, C), got ",
                      table.defined() ? table.shape().to_string() : "an undefined tensor");
  check_dtype(op, "ids", ids, DType::i32);
  require<ShapeError>(ids.shape().rank() < Shape::kMaxRank, op,
                      ": ids have too many dimensions: ", ids.shape());
  std::array<std::int64_t, Shape::kMaxRank> dims{};
  const auto leading = ids.shape().dims();
  std::copy(leading.begin(), leading.end(), dims.begin());
  dims[leading.size()] = table.dim(1);
  check_activation(c, op, "y", y, Shape(std::span<const std::int64_t>(dims.data(), leading.size() + 1)));
}

}  // namespace

void check_ids(std::string_view op, std::span<const std::int32_t> ids, std::int64_t vocabulary) {
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require<ShapeError>(ids[i] >= 0 && ids[i] < vocabulary, op, ": id ", ids[i], " at position ", i,
                        " is outside the table of ", vocabulary, " rows");
  }
}

void embedding_forward(const Context& c, Tensor& y, const Tensor& table, const Tensor& ids) {
  constexpr std::string_view kName = "embedding_forward";
  check_lookup(c, kName, y, table, ids);
  require<ShapeError>(table.dtype() != DType::i32, kName, ": expected a table of numbers, got i32");
  const double row = double(bytes_of(table.dtype(), table.dim(1)) + bytes_of(y.dtype(), table.dim(1)));
  Op op(c, kName, {0, double(ids.numel()) * row});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::embedding_forward(
          c.cuda_stream(), {y.raw(), y.dtype(), table.raw(), table.dtype(), ids.data<std::int32_t>(),
                            ids.numel(), table.dim(0), table.dim(1)});
  }
  check_ids(kName, ids.span<std::int32_t>(), table.dim(0));
  cpu::embedding_forward(c.pool(), y.data<float>(), table, ids.data<std::int32_t>(), ids.numel());
}

void embedding_weight_grad(const Context& c, Tensor& dtable, const Tensor& dy, const Tensor& ids) {
  constexpr std::string_view kName = "embedding_weight_grad";
  check_lookup(c, kName, dy, dtable, ids);
  require<ShapeError>(dtable.dtype() == DType::f32 || dtable.dtype() == dy.dtype(), kName,
                      ": expected dtable of type f32 or that of dy, got ", name_of(dtable.dtype()));
  Op op(c, kName, {double(dy.numel()), double(dy.bytes()) + 8.0 * double(dy.numel())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::embedding_weight_grad(
          c.cuda_stream(), {dtable.raw(), dtable.dtype(), dy.raw(), dy.dtype(), ids.data<std::int32_t>(),
                            ids.numel(), dtable.dim(0), dtable.dim(1)});
  }
  check_ids(kName, ids.span<std::int32_t>(), dtable.dim(0));
  cpu::embedding_weight_grad(c.pool(), dtable.data<float>(), dy.data<float>(), ids.data<std::int32_t>(),
                             ids.numel(), dtable.dim(1));
}

void timestep_embedding(const Context& c, Tensor& y, const Tensor& t, float max_period) {
  constexpr std::string_view kName = "timestep_embedding";
  require<ShapeError>(y.defined() && y.shape().rank() == 2 && y.cols() % 2 == 0, kName,
                      ": expected y (N, 2 half), got ",
                      y.defined() ? y.shape().to_string() : "an undefined tensor");
  check_activation(c, kName, "y", y, y.shape());
  check_float(kName, "t", t, {y.dim(0)});
  require<ShapeError>(max_period > 0, kName, ": max_period must be positive, got ", max_period);
  Op op(c, kName, {4.0 * double(y.numel()), double(y.bytes() + t.bytes())});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda())
      return cuda::timestep_embedding(
          c.cuda_stream(), {y.raw(), y.dtype(), t.data<float>(), y.dim(0), y.cols() / 2, max_period});
  }
  cpu::timestep_embedding(c.pool(), y.data<float>(), t.data<float>(), y.dim(0), y.cols() / 2, max_period);
}

}  // namespace rankine
