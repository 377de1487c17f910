// Stands in for webp_decode.cpp in a build without libwebp.
#include "engine/core/error.h"
#include "io/image/codecs.h"

namespace rankine::codec {

Image decode_webp(std::span<const std::byte>, const std::string& name) {
  throw DataError(join(name, ": this build has no WebP support; convert the picture to PNG or JPEG"));
}

ImageSize probe_webp(std::span<const std::byte> bytes, const std::string& name) {
  return decode_webp(bytes, name).size();
}

}  // namespace rankine::codec
