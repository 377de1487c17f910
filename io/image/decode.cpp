#include "io/image/decode.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <system_error>

#include "engine/core/error.h"
#include "io/image/codecs.h"

namespace rankine {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSupported = "PNG, JPEG or WebP";
constexpr std::int64_t kProbePrefix = 64 * 1024;

std::string lower_extension(const fs::path& path) {
  std::string ext = path.extension().string();
  for (char& c : ext) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return ext;
}

std::optional<ImageKind> kind_of_extension(const fs::path& path) {
  const std::string ext = lower_extension(path);
  if (ext == ".png") return ImageKind::png;
  if (ext == ".webp") return ImageKind::webp;
  for (const char* jpeg : {".jpg", ".jpeg", ".jpe", ".jfif"}) {
    if (ext == jpeg) return ImageKind::jpeg;
  }
  return std::nullopt;
}

bool starts_with(std::span<const std::byte> bytes, std::size_t at, std::string_view magic) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

std::optional<ImageKind> kind_of_bytes(std::span<const std::byte> bytes) {
  using namespace std::string_view_literals;
  if (starts_with(bytes, 0, "\x89PNG\r\n\x1a\n"sv)) return ImageKind::png;
  if (starts_with(bytes, 0, "\xff\xd8\xff"sv)) return ImageKind::jpeg;
  if (starts_with(bytes, 0, "RIFF"sv) && starts_with(bytes, 8, "WEBP"sv)) return ImageKind::webp;
  return std::nullopt;
}

// What a file that we cannot read most likely is; empty when nothing is recognised.
std::string_view foreign_kind(std::span<const std::byte> bytes) {
  using namespace std::string_view_literals;
  struct Magic {
    std::size_t at;
    std::string_view bytes, name;
  };
  static constexpr std::array<Magic, 9> kMagics{{{0, "GIF8"sv, "a GIF"},
                                                 {0, "BM"sv, "a BMP"},
                                                 {0, "II*\0"sv, "a TIFF"},
                                                 {0, "MM\0*"sv, "a TIFF"},
                                                 {4, "ftypavif"sv, "an AVIF"},
                                                 {4, "ftyphei"sv, "a HEIC"},
                                                 {4, "ftypmif1"sv, "a HEIF"},
                                                 {0, "\xff\x0a"sv, "a JPEG XL"},
                                                 {0, "8BPS"sv, "a Photoshop"}}};
  for (const Magic& magic : kMagics) {
    if (starts_with(bytes, magic.at, magic.bytes)) return magic.name;
  }
  return {};
}

ImageKind checked_kind(std::span<const std::byte> bytes, const std::string& name) {
  require<DataError>(!bytes.empty(), name, ": the file is empty; expected a ", kSupported, " picture");
  const std::optional<ImageKind> kind = kind_of_bytes(bytes);
  if (!kind) {
    const std::string_view foreign = foreign_kind(bytes);
    throw DataError(foreign.empty() ? join(name, ": not a picture that can be read; expected ", kSupported)
                                    : join(name, ": is ", foreign,
                                           " file, which is not supported; convert it to ", kSupported));
  }
  const std::optional<ImageKind> named = kind_of_extension(fs::path(name));
  require<DataError>(!named || *named == *kind, name, ": the extension says ", named ? name_of(*named) : "",
                     " but the bytes are ", name_of(*kind), "; rename the file");
  return *kind;
}

std::vector<std::byte> read_prefix(const fs::path& path, std::int64_t limit, std::int64_t* file_size) {
  const std::string name = path.string();
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require<IoError>(fs::exists(status), name, ": no such file");
  require<IoError>(fs::is_regular_file(status), name, ": is not a regular file");
  const auto size = static_cast<std::int64_t>(fs::file_size(path, error));
  require<IoError>(!error, name, ": ", error.message());
  require<DataError>(size <= kMaxImageFileBytes, name, ": the file has ", size, " bytes; at most ",
                     kMaxImageFileBytes, " are allowed for a picture");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.is_open(), name, ": cannot open: ", std::strerror(errno));
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(size, limit)));
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  require<IoError>(in.gcount() == static_cast<std::streamsize>(bytes.size()), name, ": read ", in.gcount(),
                   " of ", bytes.size(), " bytes");
  *file_size = size;
  return bytes;
}

}  // namespace

std::string_view name_of(ImageKind kind) {
  switch (kind) {
    case ImageKind::png:
      return "PNG";
    case ImageKind::jpeg:
      return "JPEG";
    case ImageKind::webp:
      return "WebP";
  }
  return "?";
}

bool has_image_extension(const fs::path& path) { return kind_of_extension(path).has_value(); }

bool has_unsupported_image_extension(const fs::path& path) {
  static constexpr std::array<std::string_view, 8> kOther{".gif",  ".bmp",  ".tif",  ".tiff",
                                                          ".heic", ".heif", ".avif", ".jxl"};
  return std::find(kOther.begin(), kOther.end(), lower_extension(path)) != kOther.end();
}

std::vector<std::byte> read_image_file(const fs::path& path) {
  std::int64_t size = 0;
  return read_prefix(path, kMaxImageFileBytes, &size);
}

Image decode_image(std::span<const std::byte> bytes, std::string_view name) {
  const std::string label(name);
  require<DataError>(static_cast<std::int64_t>(bytes.size()) <= kMaxImageFileBytes, label, ": the file has ",
                     bytes.size(), " bytes; at most ", kMaxImageFileBytes, " are allowed for a picture");
  switch (checked_kind(bytes, label)) {
    case ImageKind::png:
      return codec::decode_png(bytes, label);
    case ImageKind::jpeg:
      return codec::decode_jpeg(bytes, label);
    case ImageKind::webp:
      return codec::decode_webp(bytes, label);
  }
  throw std::logic_error("decode_image: unknown kind");
}

Image decode_image(const fs::path& path) { return decode_image(read_image_file(path), path.string()); }

ImageSize probe_image(std::span<const std::byte> bytes, std::string_view name) {
  const std::string label(name);
  switch (checked_kind(bytes, label)) {
    case ImageKind::png:
      return codec::probe_png(bytes, label);
    case ImageKind::jpeg:
      return codec::probe_jpeg(bytes, label);
    case ImageKind::webp:
      return codec::probe_webp(bytes, label);
  }
  throw std::logic_error("probe_image: unknown kind");
}

ImageSize probe_image(const fs::path& path) {
  std::int64_t size = 0;
  const std::vector<std::byte> prefix = read_prefix(path, kProbePrefix, &size);
  if (static_cast<std::int64_t>(prefix.size()) == size) return probe_image(prefix, path.string());
  try {
    return probe_image(prefix, path.string());
  } catch (const DataError&) {
    // Thumbnails and colour profiles can push the frame header past the prefix: decide on the whole file.
    return probe_image(read_image_file(path), path.string());
  }
}

namespace codec {

void check_size(std::int64_t width, std::int64_t height, const std::string& name) {
  require<DataError>(width >= 1 && height >= 1, name, ": the picture is ", width, " x ", height, " pixels");
  require<DataError>(width <= kMaxImageSide && height <= kMaxImageSide, name, ": the picture is ", width,
                     " x ", height, " pixels; a side may have at most ", kMaxImageSide);
  require<DataError>(width * height <= kMaxImagePixels, name, ": the picture is ", width, " x ", height,
                     " pixels; at most ", kMaxImagePixels, " pixels (64 Mpixel) are allowed");
}

void composite_over_white(std::span<const std::uint8_t> rgba, std::span<std::uint8_t> rgb) {
  const std::size_t pixels = rgba.size() / 4;
  for (std::size_t i = 0; i < pixels; ++i) {
    const unsigned alpha = rgba[4 * i + 3];
    for (std::size_t c = 0; c < 3; ++c) {
      rgb[3 * i + c] = static_cast<std::uint8_t>((alpha * rgba[4 * i + c] + (255 - alpha) * 255 + 127) / 255);
    }
  }
}

}  // namespace codec

}  // namespace rankine
