#include "io/formats/tensor_output.h"

#include "engine/core/error.h"

namespace rankine {

std::int64_t TensorOutput::row() const { return shape.empty() ? 1 : shape.back(); }

std::uint64_t TensorOutput::rows() const {
  std::uint64_t n = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= static_cast<std::uint64_t>(shape[i]);
  return n;
}

std::uint64_t TensorOutput::bytes() const {
  std::uint64_t numel = 1;
  for (const std::int64_t extent : shape)
    require<DataError>(
        extent >= 0 && !__builtin_mul_overflow(numel, static_cast<std::uint64_t>(extent), &numel), "tensor '",
        name, "': the shape overflows");
  std::uint64_t most = 0;
  require<DataError>(!__builtin_mul_overflow(numel, std::uint64_t{8}, &most), "tensor '", name,
                     "': the shape overflows");
  if (const auto memory = memory_dtype(dtype))
    require<DataError>(row() % block_of(*memory).elements == 0, "tensor '", name, "': rows of ", row(),
                       " numbers are not whole blocks of ", name_of(dtype));
  return bytes_of(dtype, numel);
}

TensorOutput borrowed(std::string name, FileDType dtype, std::vector<std::int64_t> shape,
                      std::span<const std::byte> bytes) {
  return {std::move(name), dtype, std::move(shape), [bytes](const AppendBytes& append) { append(bytes); }};
}

TensorOutput taken_from(const TensorSource& source, std::string_view name) {
  const TensorInfo& info = source.at(name);
  return {std::string(name), info.dtype, info.shape,
          [&source, key = std::string(name)](const AppendBytes& append) { append(source.load(key).bytes); }};
}

void append_tensor(const TensorOutput& t, const AppendBytes& append) {
  std::uint64_t written = 0;
  t.write([&](std::span<const std::byte> bytes) {
    written += bytes.size();
    append(bytes);
  });
  require<DataError>(written == t.bytes(), "tensor '", t.name, "': ", name_of(t.dtype),
                     " of its shape takes ", t.bytes(), " bytes, ", written, " were given");
}

}  // namespace rankine
