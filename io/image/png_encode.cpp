#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string_view>

#include "engine/core/error.h"
#include "io/files/atomic_write.h"
#include "io/image/encode.h"

namespace rankine {

namespace {

// See png_decode.cpp: nothing between `guarded` and libpng may own memory, and no C++ exception may cross
// libpng.
struct PngSink {
  std::vector<std::byte>* bytes = nullptr;
  char message[160] = "unknown error";
  std::jmp_buf jump;
};

[[noreturn]] void on_error(png_structp png, png_const_charp text) {
  auto* sink = static_cast<PngSink*>(png_get_error_ptr(png));
  std::snprintf(sink->message, sizeof sink->message, "%s", text);
  std::longjmp(sink->jump, 1);
}

void on_warning(png_structp, png_const_charp) {}

bool append(std::vector<std::byte>& out, const std::byte* data, std::size_t count) noexcept {
  try {
    out.insert(out.end(), data, data + count);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void write_bytes(png_structp png, png_bytep data, png_size_t count) {
  auto* sink = static_cast<PngSink*>(png_get_io_ptr(png));
  if (!append(*sink->bytes, reinterpret_cast<const std::byte*>(data), count)) png_error(png, "out of memory");
}

void flush_bytes(png_structp) {}

template <class Body>
bool guarded(PngSink& sink, Body&& body) {
  if (setjmp(sink.jump) != 0) return false;
  body();
  return true;
}

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

void check_text(const PngText& text) {
  const std::string& key = text.first;
  const bool printable = std::all_of(key.begin(), key.end(), [](char c) { return c >= ' ' && c <= '~'; });
  require<DataError>(
      printable && !key.empty() && key.size() <= 79 && key.front() != ' ' && key.back() != ' ' &&
          key.find("  ") == std::string::npos,
      "PNG text keyword '", key,
      "': must be 1 to 79 printable ASCII characters without leading, trailing or double spaces");
  require<DataError>(text.second.find('\0') == std::string::npos, "PNG text '", key,
                     "': holds a NUL character");
  require<DataError>(text.second.size() <= (1U << 20), "PNG text '", key, "': longer than 1 MiB");
}

std::vector<png_text> text_chunks(std::span<const PngText> texts) {
  char* const empty = const_cast<char*>("");
  std::vector<png_text> chunks;
  for (const PngText& text : texts) {
    check_text(text);
    png_text chunk{};
    chunk.compression = is_ascii(text.second) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
    chunk.key = const_cast<char*>(text.first.c_str());  // libpng copies, it does not write
    chunk.text = const_cast<char*>(text.second.c_str());
    chunk.text_length = text.second.size();
    chunk.lang = empty;
    chunk.lang_key = empty;
    chunks.push_back(chunk);
  }
  return chunks;
}

}  // namespace

std::vector<std::byte> encode_png(const Image& image, std::span<const PngText> texts) {
  const bool fits = image.width > 0 && image.height > 0 &&
                    image.rgb.size() == 3 * static_cast<std::size_t>(image.width) * image.height;
  require<std::invalid_argument>(fits, "encode_png: ", image.width, " x ", image.height, " pixels with ",
                                 image.rgb.size(), " bytes");
  const std::vector<png_text> chunks = text_chunks(texts);
  std::vector<png_const_bytep> rows(static_cast<std::size_t>(image.height));
  for (int y = 0; y < image.height; ++y) rows[static_cast<std::size_t>(y)] = image.pixel(0, y);

  std::vector<std::byte> bytes;
  PngSink sink;
  sink.bytes = &bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  const bool ok = info && guarded(sink, [&] {
                    png_set_write_fn(png, &sink, write_bytes, flush_bytes);
                    png_set_IHDR(png, info, static_cast<png_uint_32>(image.width),
                                 static_cast<png_uint_32>(image.height), 8, PNG_COLOR_TYPE_RGB,
                                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
                    png_set_text(png, info, chunks.data(), static_cast<int>(chunks.size()));
                    png_write_info(png, info);
                    png_write_image(png, const_cast<png_bytepp>(rows.data()));
                    png_write_end(png, info);
                  });
  png_destroy_write_struct(&png, &info);
  require<Error>(ok, "encode_png: ", sink.message);
  return bytes;
}

void write_png(const std::filesystem::path& path, const Image& image, std::span<const PngText> texts) {
  const std::vector<std::byte> bytes = encode_png(image, texts);
  write_file_atomically(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

}  // namespace rankine
