#include "kernels/attention/attention.h"

#include <cmath>

#include "kernels/attention/attention_impl.h"

namespace rankine {
namespace {

// An activation of the shape and type of another.
void check_as(const Context& c, std::string_view op, std::string_view what, const Tensor& t,
              const Tensor& as) {
  check_activation(c, op, what, t, as.shape());
  check_dtype(op, what, t, as.dtype());
}

AttentionSize checked_size(const Context& c, std::string_view op, const Tensor& q, const Tensor& k,
                           const Tensor& v, const AttentionSpec& spec) {
  require<ShapeError>(q.defined() && q.shape().rank() == 3, op, ": expected q (N, Tq, H*D), got ",
                      q.defined() ? q.shape().to_string() : "an undefined tensor");
  require<ShapeError>(k.defined() && k.shape().rank() == 3, op, ": expected k (N, Tk, Hkv*D), got ",
                      k.defined() ? k.shape().to_string() : "an undefined tensor");
  require<ShapeError>(spec.heads > 0 && spec.kv_heads > 0 && spec.heads % spec.kv_heads == 0, op,
                      ": heads must be a positive multiple of kv_heads, got ", spec.heads, " and ",
                      spec.kv_heads);
  require<ShapeError>(q.cols() > 0 && q.cols() % spec.heads == 0, op, ": the ", q.cols(),
                      " channels of q do not split into ", spec.heads, " heads");
  const std::int64_t width = q.cols() / spec.heads;
  check_activation(c, op, "q", q, q.shape());
  check_shape(op, "k", k, {q.dim(0), k.dim(1), spec.kv_heads * width});
  check_dtype(op, "k", k, q.dtype());
  check_as(c, op, "v", v, k);
  require<ShapeError>(k.dim(1) > 0, op, ": no keys to attend to");
  require<ShapeError>(!spec.causal || k.dim(1) >= q.dim(1), op,
                      ": causal attention needs at least as many keys as queries, got ", k.dim(1), " and ",
                      q.dim(1));
  require<ShapeError>(std::isfinite(spec.scale), op, ": scale is not finite");
  const float scale = spec.scale != 0 ? spec.scale : 1.0F / std::sqrt(static_cast<float>(width));
  if (spec.visible.defined()) {
    check_shape(op, "visible", spec.visible, {q.dim(0), q.dim(1), 2});
    check_dtype(op, "visible", spec.visible, DType::i32);
  }
  for (const std::int64_t extent : {q.dim(0), q.dim(1), k.dim(1)})
    require<ShapeError>(extent < INT32_MAX, op, ": ", extent, " samples or tokens are too many");
  return {q.dim(0), q.dim(1), k.dim(1), spec.heads, spec.kv_heads, width, spec.causal, scale};
}

// Where the host can read ranges, they are checked and their pairs counted; else the most there can be.
void read_ranges(const Context& c, std::string_view op, AttentionSize& size, const AttentionSpec& spec) {
  size.pairs = size.most_pairs();
  if (!spec.visible.defined() || c.planning()) return;
  size.visible = spec.visible.data<std::int32_t>();
  if (!c.device().is_cuda()) size.pairs = checked_pairs(op, size);
}

// Room for a tile per row, when the rows are cut by their ranges.
Tensor tile_list(const Context& c, const AttentionSize& size, const AttentionSpec& spec) {
  static_assert(sizeof(QueryTile) == 5 * sizeof(std::int32_t));
  if (!spec.visible.defined()) return {};
  return c.workspace({size.samples * size.queries, 5}, "attention row tiles", DType::i32);
}
void cut(AttentionTiles& tiles, const AttentionSize& size, Tensor& list) {
  if (!list.defined()) return;
  auto* rows = static_cast<QueryTile*>(list.raw());
  tiles.count = cut_queries(size, tiles.queries, rows);
  tiles.list = rows;
}

// Scratch of backward on CUDA, see AttentionBackwardArgs.
struct RowScratch {
  Tensor rows, tiles, partial;
};
RowScratch row_scratch(const Context& c, const AttentionSize& size, const AttentionSpec& spec) {
  RowScratch s;
  s.rows = c.workspace({size.samples * size.heads * size.queries, 4}, "attention rows");
  if (spec.visible.defined())
    s.tiles = c.workspace({size.samples, size.backward_tiles(), 2}, "attention row tiles", DType::i32);
  const std::int64_t runs = size.backward_runs();
  if (runs > 1)
    s.partial = c.workspace({2, runs, size.samples * size.keys * size.kv_pitch()}, "attention sums");
  return s;
}

double all_bytes(std::initializer_list<const Tensor*> tensors) {
  double sum = 0;
  for (const Tensor* t : tensors) sum += double(t->bytes());
  return sum;
}

}  // namespace

void attention_forward(const Context& c, Tensor& o, Tensor& lse, const Tensor& q, const Tensor& k,
                       const Tensor& v, const AttentionSpec& spec) {
  constexpr std::string_view name = "attention_forward";
  AttentionSize size = checked_size(c, name, q, k, v, spec);
  check_as(c, name, "o", o, q);
  check_float(name, "lse", lse, {size.samples, size.heads, size.queries});
  read_ranges(c, name, size, spec);
  AttentionTiles tiles = AttentionTiles::of_forward(size, c.pool().size(), spec.visible.defined());
  const bool few = AttentionFew::takes(size), on_cpu = !c.device().is_cuda();
  const bool narrow = on_cpu && !few && cpu::narrow_heads(size);
  Tensor scratch, list;
  if (few) scratch = c.workspace({AttentionFew::floats(size)}, "attention parts");
  if (on_cpu && !few && !narrow) {
    scratch =
        c.workspace({tiles.parts, cpu::attention_forward_scratch(tiles, size.width)}, "attention tiles");
    list = tile_list(c, size, spec);
  }
  Op op(c, name, {2 * size.flops(), all_bytes({&q, &k, &v, &o, &lse})});
  if (op.planned()) return;
  if constexpr (build::cuda) {
    if (!on_cpu) {
      return cuda::attention_forward(c.cuda_stream(),
                                     {o.raw(), lse.data<float>(), q.raw(), k.raw(), v.raw(),
                                      few ? scratch.data<float>() : nullptr, q.dtype(), size});
    }
  }
  if (few) {
    return cpu::attention_few(c.pool(), {o.data<float>(), lse.data<float>(), q.data<float>(), k.data<float>(),
                                         v.data<float>(), scratch.data<float>(), size});
  }
  cut(tiles, size, list);
  const AttentionForward args{o.data<float>(),
                              lse.data<float>(),
                              q.data<float>(),
                              k.data<float>(),
                              v.data<float>(),
                              narrow ? nullptr : scratch.data<float>(),
                              size,
                              tiles};
  if (narrow) return cpu::attention_narrow_forward(c.pool(), args);
  cpu::attention_forward(c.pool(), args);
}

namespace {

void backward_on_cuda(const Context& c, const AttentionGrads& grads, const Tensor& d_o,
                      const AttentionSaved& saved, const AttentionSize& size, const RowScratch& scratch) {
  if constexpr (build::cuda) {
    const auto& [q, k, v, o, lse] = saved;
    Tensor rows = scratch.rows, tiles = scratch.tiles, partial = scratch.partial;
    cuda::attention_backward(
        c.cuda_stream(),
        {grads.dq.raw(), grads.dk.raw(), grads.dv.raw(), d_o.raw(), q.raw(), k.raw(), v.raw(), o.raw(),
         lse.data<float>(), rows.raw(), tiles.defined() ? tiles.raw() : nullptr,
         partial.defined() ? partial.data<float>() : nullptr, q.dtype(), size});
  }
}

}  // namespace

void attention_backward(const Context& c, AttentionGrads grads, const Tensor& d_o,
                        const AttentionSaved& saved, const AttentionSpec& spec) {
  constexpr std::string_view name = "attention_backward";
  const auto& [q, k, v, o, lse] = saved;
  AttentionSize size = checked_size(c, name, q, k, v, spec);
  check_as(c, name, "o", o, q);
  check_float(name, "lse", lse, {size.samples, size.heads, size.queries});
  check_as(c, name, "d_o", d_o, q);
  check_as(c, name, "dq", grads.dq, q);
  check_as(c, name, "dk", grads.dk, k);
  check_as(c, name, "dv", grads.dv, k);
  read_ranges(c, name, size, spec);
  AttentionTiles tiles = AttentionTiles::of_backward(size, c.pool().size());
  const bool on_cpu = !c.device().is_cuda();
  const RowScratch rows = on_cpu ? RowScratch{} : row_scratch(c, size, spec);
  const bool narrow = on_cpu && cpu::narrow_heads(size);
  Tensor scratch, list;
  if (narrow) {
    scratch =
        c.workspace({size.samples * size.kv_heads, cpu::narrow_backward_scratch(size)}, "attention rows");
  } else if (on_cpu) {
    scratch =
        c.workspace({tiles.parts, cpu::attention_backward_scratch(tiles, size.width)}, "attention tiles");
    list = tile_list(c, size, spec);
  }
  Op op(c, name,
        {5 * size.flops(), all_bytes({&q, &k, &v, &o, &lse, &d_o, &grads.dq, &grads.dk, &grads.dv})});
  if (op.planned()) return;
  if (!on_cpu) return backward_on_cuda(c, grads, d_o, saved, size, rows);
  cut(tiles, size, list);
  const AttentionBackward args{grads.dq.data<float>(),
                               grads.dk.data<float>(),
                               grads.dv.data<float>(),
                               d_o.data<float>(),
                               q.data<float>(),
                               k.data<float>(),
                               v.data<float>(),
                               o.data<float>(),
                               lse.data<float>(),
                               scratch.data<float>(),
                               size,
                               tiles};
  if (narrow) return cpu::attention_narrow_backward(c.pool(), args);
  cpu::attention_backward(c.pool(), args);
}

void check_visible(std::span<const std::int32_t> visible, const VisibleSize& s) {
  constexpr std::string_view name = "check_visible";
  AttentionSize size{s.samples, s.queries, s.keys, 1, 1, 1, s.causal, 1};
  require<ShapeError>(s.samples >= 0 && s.queries >= 0 &&
                          visible.size() == 2 * static_cast<std::size_t>(s.samples * s.queries),
                      name, ": expected a range for ", s.queries, " rows of ", s.samples, " samples, got ",
                      visible.size(), " numbers");
  size.visible = visible.data();
  checked_pairs(name, size);
}

}  // namespace rankine
