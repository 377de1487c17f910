#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "engine/core/error.h"
#include "io/image/codecs.h"

namespace rankine::codec {

namespace {

constexpr png_uint_32 kMaxChunks = 1000;              // ancillary chunks kept, against endless text
constexpr png_alloc_size_t kMaxChunkBytes = 8 << 20;  // uncompressed size of one of them

// libpng reports errors by a callback that must not return. A jump out of its C frames is defined only when
// no frame in between owns anything, so all that owns memory lives above `guarded`, and what runs below it is
// plain C.
struct PngSource {
  const unsigned char* data = nullptr;
  std::size_t size = 0;
  std::size_t position = 0;
  char message[160] = "unknown error";
  std::jmp_buf jump;
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* source = static_cast<PngSource*>(png_get_error_ptr(png));
  std::snprintf(source->message, sizeof source->message, "%s", text);
  std::longjmp(source->jump, 1);
}

void on_warning(png_structp, png_const_charp) {}

void read_bytes(png_structp png, png_bytep out, png_size_t count) {
  auto* source = static_cast<PngSource*>(png_get_io_ptr(png));
  if (count > source->size - source->position) png_error(png, "the file is truncated");
  std::memcpy(out, source->data + source->position, count);
  source->position += count;
}

// Runs `body`, a call chain into libpng without destructors; false when libpng reported an error.
template <class Body>
bool guarded(PngSource& source, Body&& body) {
  if (setjmp(source.jump) != 0) return false;
  body();
  return true;
}

class PngDecoder {
 public:
  PngDecoder(std::span<const std::byte> bytes, const std::string& name) : name_(name) {
    source_.data = reinterpret_cast<const unsigned char*>(bytes.data());
    source_.size = bytes.size();
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source_, on_error, on_warning);
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
    if (!info_) {
      png_destroy_read_struct(&png_, nullptr, nullptr);
      throw Error(join(name, ": libpng could not start"));
    }
  }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }

  ImageSize read_header() {
    check(guarded(source_, [this] {
      png_set_read_fn(png_, &source_, read_bytes);
      // Sides past kMaxImageSide pass here so that check_size can say what is allowed.
      png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
      png_set_chunk_cache_max(png_, kMaxChunks);
      png_set_chunk_malloc_max(png_, kMaxChunkBytes);
      png_read_info(png_, info_);
    }));
    const png_uint_32 width = png_get_image_width(png_, info_), height = png_get_image_height(png_, info_);
    check_size(width, height, name_);
    return {static_cast<int>(width), static_cast<int>(height)};
  }

  Image read_pixels(ImageSize size) {
    const bool alpha = (png_get_color_type(png_, info_) & PNG_COLOR_MASK_ALPHA) != 0 ||
                       png_get_valid(png_, info_, PNG_INFO_tRNS) != 0;
    check(guarded(source_, [this] {
      png_set_expand(png_);  // palette, 1-2-4 bit grey and tRNS to 8-bit samples
      png_set_scale_16(png_);
      png_set_gray_to_rgb(png_);
      png_set_interlace_handling(png_);
      png_read_update_info(png_, info_);
    }));
    const std::size_t channels = png_get_channels(png_, info_);
    const std::size_t row_bytes = png_get_rowbytes(png_, info_);
    const auto width = static_cast<std::size_t>(size.width), height = static_cast<std::size_t>(size.height);
    if (channels != (alpha ? 4U : 3U) || row_bytes != width * channels) {
      throw DataError(join(name_, ": libpng gave ", channels, " channels, ", row_bytes, " bytes a row"));
    }
    Image image(size.width, size.height);
    std::vector<std::uint8_t> rgba(alpha ? row_bytes * height : 0);
    std::uint8_t* first = alpha ? rgba.data() : image.rgb.data();
    std::vector<png_bytep> rows(height);
    for (std::size_t y = 0; y < height; ++y) rows[y] = first + y * row_bytes;
    png_bytep* row_list = rows.data();
    check(guarded(source_, [this, row_list] {
      png_read_image(png_, row_list);
      png_read_end(png_, nullptr);
    }));
    if (alpha) composite_over_white(rgba, image.rgb);
    return image;
  }

 private:
  void check(bool ok) const {
    require<DataError>(ok, name_, ": damaged PNG at byte ", source_.position, ": ", source_.message);
  }

  const std::string& name_;
  PngSource source_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
};

}  // namespace

Image decode_png(std::span<const std::byte> bytes, const std::string& name) {
  PngDecoder decoder(bytes, name);
  const ImageSize size = decoder.read_header();
  return decoder.read_pixels(size);
}

ImageSize probe_png(std::span<const std::byte> bytes, const std::string& name) {
  return PngDecoder(bytes, name).read_header();
}

}  // namespace rankine::codec
