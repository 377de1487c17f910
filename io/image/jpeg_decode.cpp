#include <cstdio>

#include <jpeglib.h>

#include <jerror.h>

#include <csetjmp>

#include "engine/core/error.h"
#include "io/image/codecs.h"
#include "io/image/exif.h"

namespace rankine::codec {

namespace {

// A progressive file may order any number of passes over the whole picture; encoders use about ten.
constexpr int kMaxScans = 200;
constexpr long kMaxDecoderBytes = 1L << 30;

// libjpeg reports errors by a callback that must not return. As with libpng, nothing between `guarded` and
// the library may own memory.
struct JpegErrors {
  jpeg_error_mgr base;  // first member: libjpeg sees only this
  char message[JMSG_LENGTH_MAX];
  std::jmp_buf jump;
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* errors = reinterpret_cast<JpegErrors*>(info->err);
  errors->base.format_message(info, errors->message);
  std::longjmp(errors->jump, 1);
}

// libjpeg fills what a damaged file lacks with grey and only warns. Wrong bytes between segments are harmless
// and common in camera files; lost or undecodable picture data is not.
void on_message(j_common_ptr info, int level) {
  if (level != -1) return;
  switch (info->err->msg_code) {
    case JWRN_ARITH_BAD_CODE:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_JPEG_EOF:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_NOT_SEQUENTIAL:
      fail(info);
    default:
      break;
  }
}

void no_output(j_common_ptr) {}

void on_progress(j_common_ptr info) {
  auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  if (decoder->input_scan_number > kMaxScans) ERREXIT(decoder, JERR_BAD_PROGRESSION);
}

class JpegDecoder {
 public:
  JpegDecoder(std::span<const std::byte> bytes, const std::string& name) : name_(name), bytes_(bytes) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = fail;
    errors_.base.emit_message = on_message;
    errors_.base.output_message = no_output;
    progress_.progress_monitor = on_progress;
    check(guarded([this] { jpeg_create_decompress(&info_); }));
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }

  // The stored size; sets orientation().
  ImageSize read_header() {
    check(guarded([this] {
      info_.progress = &progress_;
      info_.mem->max_memory_to_use = kMaxDecoderBytes;
      jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
      jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
      jpeg_read_header(&info_, TRUE);
    }));
    check_size(info_.image_width, info_.image_height, name_);
    for (jpeg_saved_marker_ptr marker = info_.marker_list; marker; marker = marker->next) {
      const auto* data = reinterpret_cast<const std::byte*>(marker->data);
      const int found = exif_orientation({data, marker->data_length});
      if (orientation_ == 1) orientation_ = found;
    }
    return {static_cast<int>(info_.image_width), static_cast<int>(info_.image_height)};
  }

  Image read_pixels(ImageSize size) {
    const bool inks = info_.num_components == 4;
    check(guarded([this, inks] {
      info_.out_color_space = inks ? JCS_CMYK : JCS_RGB;
      info_.dct_method = JDCT_ISLOW;
      jpeg_start_decompress(&info_);
    }));
    Image image(size.width, size.height);
    std::vector<std::uint8_t> ink_row(inks ? 4 * static_cast<std::size_t>(size.width) : 0);
    for (int y = 0; y < size.height; ++y) {
      JSAMPROW row = inks ? ink_row.data() : image.pixel(0, y);
      check(guarded([this, &row] { jpeg_read_scanlines(&info_, &row, 1); }));
      if (inks) cmyk_to_rgb(ink_row, image.pixel(0, y));
    }
    check(guarded([this] { jpeg_finish_decompress(&info_); }));
    return image;
  }

  int orientation() const { return orientation_; }

 private:
  template <class Body>
  bool guarded(Body&& body) {
    if (setjmp(errors_.jump) != 0) return false;
    body();
    return true;
  }

  void check(bool ok) const {
    if (ok) return;
    const std::size_t left = info_.src ? info_.src->bytes_in_buffer : 0;
    throw DataError(join(name_, ": damaged or truncated JPEG near byte ",
                         left <= bytes_.size() ? bytes_.size() - left : 0, ": ", errors_.message));
  }

  // Adobe programs store inks inverted (255 = no ink) and say so with an APP14 segment.
  void cmyk_to_rgb(std::span<const std::uint8_t> inks, std::uint8_t* rgb) const {
    const unsigned flip = info_.saw_Adobe_marker ? 0 : 255;
    for (std::size_t i = 0; i < inks.size() / 4; ++i) {
      const unsigned key = inks[4 * i + 3] ^ flip;
      for (std::size_t c = 0; c < 3; ++c) {
        rgb[3 * i + c] = static_cast<std::uint8_t>(((inks[4 * i + c] ^ flip) * key + 127) / 255);
      }
    }
  }

  const std::string& name_;
  std::span<const std::byte> bytes_;
  JpegErrors errors_{};
  jpeg_progress_mgr progress_{};
  jpeg_decompress_struct info_{};
  int orientation_ = 1;
};

}  // namespace

Image decode_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  JpegDecoder decoder(bytes, name);
  const ImageSize stored = decoder.read_header();
  return apply_orientation(decoder.read_pixels(stored), decoder.orientation());
}

ImageSize probe_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  JpegDecoder decoder(bytes, name);
  const ImageSize stored = decoder.read_header();
  return oriented_size(stored, decoder.orientation());
}

}  // namespace rankine::codec
