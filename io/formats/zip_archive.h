// The ZIP container (PKWARE APPNOTE 6.3) as PyTorch writes it: members stored as they are, found through the
// central directory.
//
//   local header, name, extra, payload [, data descriptor]   once per member
//   central directory: name, sizes, offset of the local header   once per member
//   [zip64 end record and its locator], end record: where the central directory is
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace rankine {

struct ZipMember {
  std::span<const std::byte> bytes;  // the payload, inside the parsed file
  std::uint64_t offset = 0;          // of the payload in the file
  std::uint32_t crc = 0;             // as written; 0 also when the writer left it out
};

using ZipTable = std::map<std::string, ZipMember, std::less<>>;

// True when the bytes begin like a zip file with at least one member.
bool is_zip(std::span<const std::byte> bytes);

// The members of a whole file in memory; never reads outside `file`. Names are keys and never become paths.
// Throws DataError "name: byte N: what is wrong" for: a file cut short or with bytes after its end, several
// disks, compressed or encrypted members, central and local headers that disagree, records or members outside
// of the file or over each other, a name twice, and names that are absolute or hold "..", '\' or NUL.
// Checksums of payloads are not verified here, so that a model costs nothing until it is read: see check_crc.
ZipTable parse_zip(std::span<const std::byte> file, const std::string& name);

// Throws DataError when the payload does not have its checksum; one of 0 is taken as not written.
void check_crc(const ZipMember& member, std::string_view member_name, const std::string& name);

}  // namespace rankine
