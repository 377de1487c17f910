#include "models/decoder/kv_cache.h"

#include "kernels/elementwise/elementwise.h"

namespace rankine {

KvCache::KvCache(const Context& c, int layers, std::int64_t capacity, std::int64_t kv_width)
    : capacity_(capacity), width_(kv_width) {
  for (int i = 0; i < layers; ++i) {
    k_.push_back(c.empty({1, capacity, kv_width}, "key cache"));
    v_.push_back(c.empty({1, capacity, kv_width}, "value cache"));
  }
}

void KvCache::truncate(std::int64_t length) {
  require<Error>(length >= 0 && length <= length_, "key cache: cannot keep ", length, " of ", length_,
                 " tokens");
  length_ = length;
}

KvCache::View KvCache::append(const Context& c, int layer, const Tensor& k, const Tensor& v) {
  const std::int64_t rows = k.dim(1), end = length_ + rows;
  require<Error>(end <= capacity_, "key cache: ", end, " tokens do not fit in ", capacity_);
  const Shape added{1, rows, width_}, all{1, end, width_};
  Tensor to_k = k_[layer].flat(length_ * width_, added), to_v = v_[layer].flat(length_ * width_, added);
  copy(c, to_k, k);
  copy(c, to_v, v);
  return {k_[layer].flat(0, all), v_[layer].flat(0, all)};
}

}  // namespace rankine
