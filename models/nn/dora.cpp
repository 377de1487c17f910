#include "models/nn/dora.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/core/block_formats.h"
#include "engine/core/transfer.h"
#include "kernels/dora/dora.h"
#include "kernels/matmul/matmul.h"

namespace rankine {
namespace {

std::uint64_t mixed(std::uint64_t h, std::uint64_t word) {
  h = (h ^ word) * 0x9E3779B97F4A7C15U;
  return h ^ (h >> 29);
}

std::uint64_t hash_of(std::uint64_t h, const Tensor& t) {
  const float* values = t.data<float>();
  for (std::int64_t i = 0; i < t.numel(); ++i) h = mixed(h, std::bit_cast<std::uint32_t>(values[i]));
  return h;
}

void decode_row(const Tensor& w, std::int64_t row, std::vector<float>& out) {
  const std::int64_t begin = row * w.cols();
  if (is_block(w.dtype())) {
    const auto* blocks = static_cast<const std::byte*>(w.raw()) + bytes_of(w.dtype(), begin);
    return decode_blocks(w.dtype(), blocks, out);
  }
  visit_float("row_norms", w.dtype(), [&]<class T>() {
    const T* values = w.data<T>() + begin;
    for (std::size_t k = 0; k < out.size(); ++k) out[k] = to_float(values[k]);
  });
}

void row_norms(const Context& c, Tensor& n, const Tensor& w) {
  Op op(c, "row_norms", {2.0 * static_cast<double>(w.numel()), static_cast<double>(w.bytes())});
  if (op.planned()) return;
  float* norms = n.data<float>();
  c.pool().parallel_for(w.dim(0), 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(static_cast<std::size_t>(w.cols()));
    for (std::int64_t i = begin; i < end; ++i) {
      decode_row(w, i, row);
      double sum = 0;
      for (const float x : row) sum += static_cast<double>(x) * static_cast<double>(x);
      norms[i] = static_cast<float>(std::sqrt(sum));
    }
  });
}

}  // namespace

Tensor DoraNorm::base(const Context& c, const Tensor& w) {
  if (!base_.defined()) {
    base_ = Tensor(c.memory(), {w.dim(0)}, DType::f32, Account::adapters, "dora base norms");
    if (c.device().is_cuda() && !c.planning()) {
      Runtime runtime(Device::cpu());
      const Context host(runtime);
      Tensor norms = host.empty(base_.shape(), "norms on the host");
      row_norms(host, norms, copy_to(host.memory(), w));
      set_floats(base_, floats_of(norms));
    } else {
      row_norms(c, base_, w);
    }
  }
  return base_;
}

Tensor DoraNorm::inverse(const Context& c, const Tensor& w, const Delta& d) {
  if (c.device().is_cuda()) return computed_inverse(c, w, d);
  const std::uint64_t scale = std::bit_cast<std::uint32_t>(d.scale);
  const std::uint64_t key = c.planning() ? c.step : hash_of(hash_of(mixed(0, scale), d.down), d.up);
  if (key_ == key) return inverse_;
  inverse_ = computed_inverse(c, w, d);
  key_ = key;
  return inverse_;
}

Tensor DoraNorm::computed_inverse(const Context& c, const Tensor& w, const Delta& d) {
  const Tensor norms = base(c, w);
  const std::int64_t out = w.dim(0), rank = d.down.dim(0);
  Tensor cross = c.workspace({rank, out}, "dora A W^T", c.activations());
  linear_forward(c, cross, d.down, w, {});
  Tensor gram = c.workspace({rank, rank}, "dora A A^T", c.activations());
  linear_forward(c, gram, d.down, d.down, {});
  Tensor up_gram = c.workspace({out, rank}, "dora B A A^T", c.activations());
  linear_forward(c, up_gram, d.up, gram, {});
  Tensor inverse(c.memory(), {out}, DType::f32, Account::adapters, "dora inverse norms");
  dora_inverse_norms(c, inverse, {norms, cross, d.up, up_gram, d.scale});
  return inverse;
}

}  // namespace rankine
