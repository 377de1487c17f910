#include "io/dataset/latent_cache.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "engine/core/error.h"
#include "engine/core/finite.h"
#include "io/files/atomic_write.h"
#include "io/files/sha256.h"

namespace rankine {

namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "cache files are written as they lie in memory");

constexpr std::string_view kMagic = "RKLATENT";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kKeyDigits = 64, kHashBytes = 32;
constexpr std::int64_t kMaxElements = std::int64_t{1} << 26;

// The fixed part of a file, behind magic, version and key.
struct Fields {
  std::int32_t h, w, c, original_w, original_h, crop_x, crop_y;
  std::uint32_t flags;
};
static_assert(sizeof(Fields) == 32);

constexpr std::size_t kHeaderBytes = kMagic.size() + sizeof kVersion + kHashBytes + sizeof(Fields);

void check_key(const std::string& key) {
  const bool hex = std::all_of(key.begin(), key.end(),
                               [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  require<std::invalid_argument>(hex && key.size() == kKeyDigits, "latent cache: the key '", key,
                                 "' is not 64 lower-case hex digits");
}

std::string bytes_of_hex(const std::string& hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1])));
  }
  return bytes;
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

template <class T>
void append(std::string& out, const T* data, std::size_t count) {
  out.append(reinterpret_cast<const char*>(data), count * sizeof(T));
}

// The elements of mean or logvar; -1 for sizes that no entry has.
std::int64_t elements_of(std::int64_t h, std::int64_t w, std::int64_t c) {
  constexpr std::int64_t kMaxSide = 1 << 16;
  if (h < 1 || w < 1 || c < 1 || h > kMaxSide || w > kMaxSide || c > kMaxSide) return -1;
  return h * w <= kMaxElements / c ? h * w * c : -1;
}

std::string prefix_of(const std::string& key) {
  std::string bytes(kMagic);
  append(bytes, &kVersion, 1);
  return bytes + bytes_of_hex(key);
}

bool is_finite(const CachedLatent& latent) { return all_finite(latent.mean) && all_finite(latent.logvar); }

std::optional<std::string> read_all(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return std::nullopt;
  const std::uintmax_t size = fs::file_size(path, error);
  const std::uintmax_t limit =
      kHeaderBytes + kHashBytes + 2 * sizeof(float) * static_cast<std::uintmax_t>(kMaxElements);
  if (error || size < kHeaderBytes + kHashBytes || size > limit) return std::nullopt;
  std::ifstream in(path, std::ios::binary);
  std::string bytes(static_cast<std::size_t>(size), '\0');
  in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (in.gcount() != static_cast<std::streamsize>(bytes.size())) return std::nullopt;
  return bytes;
}

}  // namespace

std::string make_latent_key(const LatentKeyParts& parts) {
  std::string text = join("rankine latent ", kVersion, '\n');
  for (const std::string* part : {&parts.image_sha256, &parts.transform, &parts.vae_sha256, &parts.dtype}) {
    text += join(part->size(), ':', *part, '\n');
  }
  return sha256_hex(as_bytes(text));
}

fs::path LatentCache::path_of(const std::string& key) const {
  check_key(key);
  return directory_ / key.substr(0, 2) / (key + ".latent");
}

std::optional<CachedLatent> LatentCache::get(const std::string& key) const {
  const std::optional<std::string> bytes = read_all(path_of(key));
  if (!bytes) return std::nullopt;
  const std::string_view body = std::string_view(*bytes).substr(0, bytes->size() - kHashBytes);
  const std::string prefix = prefix_of(key);
  if (body.substr(0, prefix.size()) != prefix ||
      bytes_of_hex(sha256_hex(as_bytes(body))) != bytes->substr(body.size()))
    return std::nullopt;
  Fields fields{};
  std::memcpy(&fields, body.data() + prefix.size(), sizeof fields);
  const std::int64_t count = elements_of(fields.h, fields.w, fields.c);
  if (count < 0 || body.size() != kHeaderBytes + 2 * sizeof(float) * static_cast<std::size_t>(count))
    return std::nullopt;
  const auto n = static_cast<std::size_t>(count);
  CachedLatent latent{
      fields.h,          fields.w,          fields.c,      std::vector<float>(n), std::vector<float>(n),
      fields.original_w, fields.original_h, fields.crop_x, fields.crop_y,         (fields.flags & 1U) != 0};
  std::memcpy(latent.mean.data(), body.data() + kHeaderBytes, n * sizeof(float));
  std::memcpy(latent.logvar.data(), body.data() + kHeaderBytes + n * sizeof(float), n * sizeof(float));
  if (!is_finite(latent)) return std::nullopt;
  return latent;
}

void LatentCache::put(const std::string& key, const CachedLatent& latent) {
  const fs::path path = path_of(key);
  const std::int64_t count = elements_of(latent.h, latent.w, latent.c);
  const auto n = static_cast<std::size_t>(std::max<std::int64_t>(count, 0));
  require<std::invalid_argument>(count > 0 && latent.mean.size() == n && latent.logvar.size() == n,
                                 "latent cache: ", latent.h, " x ", latent.w, " x ", latent.c, " with ",
                                 latent.mean.size(), " means and ", latent.logvar.size(), " log-variances");
  require<std::invalid_argument>(is_finite(latent), "latent cache: a number of the latent is not finite");
  const Fields fields{latent.h,          latent.w,      latent.c,      latent.original_w,
                      latent.original_h, latent.crop_x, latent.crop_y, latent.flipped ? 1U : 0U};
  std::string bytes = prefix_of(key);
  append(bytes, &fields, 1);
  append(bytes, latent.mean.data(), n);
  append(bytes, latent.logvar.data(), n);
  bytes += bytes_of_hex(sha256_hex(as_bytes(bytes)));
  std::error_code error;
  fs::create_directories(path.parent_path(), error);
  require<IoError>(!error, path.parent_path().string(), ": cannot make the folder: ", error.message());
  write_file_atomically(path, bytes);
}

}  // namespace rankine
