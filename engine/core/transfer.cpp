#include "engine/core/transfer.h"

#include <cstring>

#include "engine/core/error.h"

namespace rankine {
namespace {

void check_sizes(std::string_view op, const Tensor& t, std::size_t bytes) {
  require<ShapeError>(t.defined() && t.bytes() == bytes, op, ": the host has ", bytes, " bytes, the tensor ",
                      t.defined() ? t.bytes() : 0);
}

void move(const Context& c, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  if constexpr (build::cuda) {
    if (c.device().is_cuda()) {
      cuda::copy_bytes(c.cuda_stream(), to, from, bytes);
      return cuda::synchronize(c.cuda_stream());
    }
  }
  std::memcpy(to, from, bytes);
}

}  // namespace

void upload(const Context& c, Tensor& to, std::span<const std::byte> from) {
  check_sizes("upload", to, from.size());
  if (!c.planning()) move(c, to.raw(), from.data(), from.size());
}

void download(const Context& c, std::span<std::byte> to, const Tensor& from) {
  check_sizes("download", from, to.size());
  if (!c.planning()) move(c, to.data(), from.raw(), to.size());
}

}  // namespace rankine
