#include <webp/decode.h>

#include "engine/core/error.h"
#include "io/image/codecs.h"

namespace rankine::codec {

namespace {

const char* reason(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "uses a feature that is not supported";
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the file is truncated";
    default:
      return "the data are damaged";
  }
}

const std::uint8_t* raw(std::span<const std::byte> bytes) {
  return reinterpret_cast<const std::uint8_t*>(bytes.data());
}

WebPBitstreamFeatures features_of(std::span<const std::byte> bytes, const std::string& name) {
  WebPBitstreamFeatures features{};
  const VP8StatusCode status = WebPGetFeatures(raw(bytes), bytes.size(), &features);
  require<DataError>(status == VP8_STATUS_OK, name, ": damaged WebP header: ", reason(status));
  require<DataError>(
      !features.has_animation, name,
      ": is an animated WebP, which is not supported; save one frame as PNG, JPEG or still WebP");
  check_size(features.width, features.height, name);
  return features;
}

// The RIFF header states the length; libwebp itself accepts a file that lacks the last bytes of its last
// chunk.
void check_complete(std::span<const std::byte> bytes, const std::string& name) {
  std::size_t stated = 8;
  for (std::size_t i = 0; i < 4; ++i) stated += std::to_integer<std::size_t>(bytes[4 + i]) << (8 * i);
  require<DataError>(bytes.size() >= stated, name, ": truncated WebP: the file has ", bytes.size(),
                     " bytes, its header says ", stated);
}

}  // namespace

Image decode_webp(std::span<const std::byte> bytes, const std::string& name) {
  check_complete(bytes, name);
  const WebPBitstreamFeatures features = features_of(bytes, name);
  Image image(features.width, features.height);
  const int channels = features.has_alpha ? 4 : 3;
  std::vector<std::uint8_t> rgba(features.has_alpha ? image.rgb.size() / 3 * 4 : 0);

  WebPDecoderConfig config;
  require<Error>(WebPInitDecoderConfig(&config) != 0, name, ": libwebp has another version than its headers");
  config.output.colorspace = features.has_alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = features.has_alpha ? rgba.data() : image.rgb.data();
  config.output.u.RGBA.stride = channels * features.width;
  config.output.u.RGBA.size = features.has_alpha ? rgba.size() : image.rgb.size();
  const VP8StatusCode status = WebPDecode(raw(bytes), bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  require<DataError>(status == VP8_STATUS_OK, name, ": damaged WebP: ", reason(status));
  if (features.has_alpha) composite_over_white(rgba, image.rgb);
  return image;
}

ImageSize probe_webp(std::span<const std::byte> bytes, const std::string& name) {
  const WebPBitstreamFeatures features = features_of(bytes, name);
  return {features.width, features.height};
}

}  // namespace rankine::codec
