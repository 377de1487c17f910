// Zip files and pickles for the tests of the PyTorch reader, also such that no honest program writes.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/error.h"

namespace rankine::test {

// `size` bytes of `value`, little-endian.
inline std::string little(std::uint64_t value, int size) {
  std::string out;
  for (int i = 0; i < size; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

// ---- zip ----

struct ZipPart {
  std::string name, content;
  std::uint16_t method = 0, flags = 0;
  std::string local_name = {};                      // when another than `name`
  std::uint32_t crc_error = 0;                      // added to the checksum
  std::function<std::uint64_t()> offset = nullptr;  // of the local header, when it shall lie
  std::uint64_t size_error = 0;                     // added to both sizes of both headers
  bool no_crc = false;                              // as some writers leave it
};

struct ZipForm {
  bool zip64 = false;        // every number that can be in a zip64 record is
  std::string comment = {};  // at the end
  std::uint64_t members_error = 0, begin_error = 0, size_error = 0;  // added to numbers of the end record
};

// PyTorch aligns payloads through the extra field of local headers; 5 bytes here, to be none.
inline std::string zip_bytes(const std::vector<ZipPart>& parts, const ZipForm& form = {}) {
  std::string file, directory;
  for (const ZipPart& part : parts) {
    const std::uint64_t at = part.offset ? part.offset() : file.size();
    const std::uint64_t size = part.content.size() + part.size_error;
    const auto crc = part.crc_error + crc32(0, reinterpret_cast<const Bytef*>(part.content.data()),
                                            static_cast<uInt>(part.content.size()));
    const std::string small = form.zip64 ? little(0xFFFFFFFF, 4) : little(size, 4);
    const std::string local_name = part.local_name.empty() ? part.name : part.local_name;
    const std::string common = little(part.flags, 2) + little(part.method, 2) + little(0, 4) +
                               little(part.no_crc ? 0 : crc, 4) + small + small;
    const std::string extra = "FB\x01" + std::string(1, '\0') + "Z";
    file += "PK\x03\x04" + little(20, 2) + common + little(local_name.size(), 2) + little(extra.size(), 2) +
            local_name + extra + part.content;
    const std::string extra64 =
        form.zip64 ? little(1, 2) + little(24, 2) + little(size, 8) + little(size, 8) + little(at, 8) : "";
    directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + common + little(part.name.size(), 2) +
                 little(extra64.size(), 2) + little(0, 2) + little(0, 2) + little(0, 6) +
                 (form.zip64 ? little(0xFFFFFFFF, 4) : little(at, 4)) + part.name + extra64;
  }
  const std::uint64_t begin = file.size() + form.begin_error, size = directory.size() + form.size_error;
  const std::uint64_t members = parts.size() + form.members_error;
  file += directory;
  if (form.zip64) {
    const std::uint64_t end64 = file.size();
    file += "PK\x06\x06" + little(44, 8) + little(45, 2) + little(45, 2) + little(0, 4) + little(0, 4) +
            little(members, 8) + little(members, 8) + little(size, 8) + little(begin, 8);
    file += "PK\x06\x07" + little(0, 4) + little(end64, 8) + little(1, 4);
  }
  return file + "PK\x05\x06" + little(0, 4) +
         (form.zip64 ? little(0xFFFFFFFF, 4) : little(members, 2) + little(members, 2)) +
         (form.zip64 ? little(~0ULL, 8) : little(size, 4) + little(begin, 4)) +
         little(form.comment.size(), 2) + form.comment;
}

// ---- pickle programs, as text to put together ----

inline std::string p_int(std::int64_t v) {
  return std::string("\x8A\x08", 2) + little(static_cast<std::uint64_t>(v), 8);
}
inline std::string p_text(const std::string& v) { return join("X", little(v.size(), 4), v); }
inline std::string p_global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}
inline std::string p_tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string p_ints(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t v : values) items.push_back(p_int(v));
  return p_tuple(items);
}
// {key: value, ...}: keys and values in turn, as programs.
inline std::string p_dict(const std::vector<std::string>& items) {
  std::string out = "}(";
  for (const std::string& item : items) out += item;
  return out + "u";
}
inline std::string p_storage(const std::string& type, const std::string& key, std::int64_t numel) {
  return p_tuple({p_text("storage"), p_global("torch", type), p_text(key), p_text("cpu"), p_int(numel)}) +
         "Q";
}
inline std::string p_tensor(const std::string& storage, std::int64_t offset,
                            const std::vector<std::int64_t>& shape,
                            const std::vector<std::int64_t>& strides) {
  return p_global("torch._utils", "_rebuild_tensor_v2") +
         p_tuple({storage, p_int(offset), p_ints(shape), p_ints(strides), "\x89",
                  p_global("collections", "OrderedDict") + ")R"}) +
         "R";
}
inline std::string p_program(const std::string& body) { return "\x80\x02" + body + "."; }

// A checkpoint with this pickle and these storages, "0", "1", ...
inline std::string torch_bytes(const std::string& body, const std::vector<std::string>& storages,
                               const ZipForm& form = {}) {
  std::vector<ZipPart> parts{{"archive/data.pkl", p_program(body)}};
  for (std::size_t i = 0; i < storages.size(); ++i)
    parts.push_back({"archive/data/" + std::to_string(i), storages[i]});
  parts.push_back({"archive/version", "3\n"});
  return zip_bytes(parts, form);
}

}  // namespace rankine::test
