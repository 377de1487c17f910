#include "engine/core/transfer.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/core/cuda_device.h"
#include "engine/core/error.h"

namespace rankine {
namespace {

void check_sizes(std::string_view op, const Tensor& t, std::size_t bytes) {
  require<ShapeError>(t.defined() && t.bytes() == bytes, op, ": the host has ", bytes, " bytes, the tensor ",
                      t.defined() ? t.bytes() : 0);
}

bool planned(const Tensor& t) { return t.storage()->memory().device().plan; }

}  // namespace

void upload(Tensor& to, std::span<const std::byte> from) {
  check_sizes("upload", to, from.size());
  if (planned(to) || from.empty()) return;
  Memory& memory = to.storage()->memory();
  if (memory.device().is_cuda()) return memory.upload(static_cast<std::byte*>(to.raw()), from);
  std::memcpy(to.raw(), from.data(), from.size());
}

void download(std::span<std::byte> to, const Tensor& from) {
  check_sizes("download", from, to.size());
  if (planned(from) || to.empty()) return;
  Memory& memory = from.storage()->memory();
  memory.count_download();
  if constexpr (build::cuda) {
    if (memory.device().is_cuda()) {
      cuda::copy_bytes(memory.cuda_stream(), to.data(), from.raw(), to.size());
      return cuda::synchronize(memory.cuda_stream());
    }
  }
  std::memcpy(to.data(), from.raw(), to.size());
}

Tensor copy_to(Memory& host, const Tensor& t) {
  Tensor copy(host, t.shape(), t.dtype(), Account::workspace, "copy of " + t.storage()->name());
  if (!planned(t)) download({static_cast<std::byte*>(copy.raw()), copy.bytes()}, t);
  return copy;
}

std::vector<float> floats_of(const Tensor& t) {
  if (planned(t)) return {};
  std::vector<float> values(static_cast<std::size_t>(t.numel()));
  visit_float("floats_of", t.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>) {
      download(std::as_writable_bytes(std::span(values)), t);
    } else {
      std::vector<T> stored(values.size());
      download(std::as_writable_bytes(std::span(stored)), t);
      std::transform(stored.begin(), stored.end(), values.begin(), [](T x) { return to_float(x); });
    }
  });
  return values;
}

void set_floats(Tensor& to, std::span<const float> values) {
  if (planned(to)) return;
  visit_float("set_floats", to.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float>) {
      upload(to, std::as_bytes(values));
    } else {
      std::vector<T> stored(values.size());
      std::transform(values.begin(), values.end(), stored.begin(), [](float x) {
        if constexpr (std::is_same_v<T, Half>)
          return to_half(x);
        else
          return to_bfloat16(x);
      });
      upload(to, std::as_bytes(std::span<const T>(stored)));
    }
  });
}

std::vector<std::int32_t> ints_of(const Tensor& t) {
  if (planned(t)) return {};
  require<ShapeError>(t.dtype() == DType::i32, "ints_of: got ", name_of(t.dtype()));
  std::vector<std::int32_t> values(static_cast<std::size_t>(t.numel()));
  download(std::as_writable_bytes(std::span(values)), t);
  return values;
}

void set_ints(Tensor& to, std::span<const std::int32_t> values) {
  if (planned(to)) return;
  require<ShapeError>(to.dtype() == DType::i32, "set_ints: got ", name_of(to.dtype()));
  upload(to, std::as_bytes(values));
}

}  // namespace rankine
