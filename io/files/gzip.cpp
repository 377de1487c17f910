#include "io/files/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "engine/core/error.h"

namespace rankine {
namespace {

class Inflater {
 public:
  Inflater() {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    require<Error>(inflateInit2(&stream_, kGzipOnly) == Z_OK, "zlib: cannot start a decompressor");
  }
  ~Inflater() { inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream& stream() { return stream_; }

 private:
  z_stream stream_{};
};

}  // namespace

bool is_gzip(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{0x1F} && bytes[1] == std::byte{0x8B};
}

std::string gunzip(std::span<const std::byte> bytes, std::size_t max_bytes, std::string_view name) {
  require<DataError>(bytes.size() <= std::numeric_limits<uInt>::max(), name, ": gzip: more than 4 GiB");
  Inflater inflater;
  z_stream& z = inflater.stream();
  z.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  std::string out, chunk(std::size_t{1} << 16, '\0');
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    z.next_out = reinterpret_cast<Bytef*>(chunk.data());
    z.avail_out = static_cast<uInt>(chunk.size());
    status = inflate(&z, Z_NO_FLUSH);
    const std::size_t at = bytes.size() - z.avail_in;
    require<DataError>(status != Z_BUF_ERROR, name, ": gzip: the data ends too early, at byte ", at);
    require<DataError>(status == Z_OK || status == Z_STREAM_END, name, ": gzip: damaged near byte ", at, ": ",
                       z.msg != nullptr ? z.msg : zError(status));
    out.append(chunk, 0, chunk.size() - z.avail_out);
    require<DataError>(out.size() <= max_bytes, name, ": gzip: the content is longer than ", max_bytes,
                       " bytes");
  }
  require<DataError>(z.avail_in == 0, name, ": gzip: ", z.avail_in, " bytes follow the end of the data");
  return out;
}

}  // namespace rankine
