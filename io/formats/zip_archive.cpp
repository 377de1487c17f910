#include "io/formats/zip_archive.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "engine/core/error.h"
#include "io/formats/byte_reader.h"
#include "io/formats/shown_text.h"

namespace rankine {
namespace {

constexpr std::uint32_t kLocalMark = 0x04034B50, kCentralMark = 0x02014B50, kEndMark = 0x06054B50;
constexpr std::uint32_t kEnd64Mark = 0x06064B50, kLocator64Mark = 0x07064B50;
constexpr std::size_t kEndSize = 22, kLocatorSize = 20, kEnd64Size = 56, kCentralSize = 46;
constexpr std::uint32_t kSaturated = 0xFFFFFFFF;
constexpr std::uint16_t kEncrypted = 1U << 0, kSizesFollow = 1U << 3, kStrongEncryption = 1U << 6;

// Where the central directory is.
struct Directory {
  std::uint64_t begin = 0, size = 0, members = 0;
  std::uint64_t end_records = 0;  // offset of the first record after it
};

struct Central {
  std::string_view name;
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t stored_size = 0, size = 0, local = 0;
  std::uint64_t at = 0;  // of this entry, for messages
};

class ZipReader {
 public:
  ZipReader(std::span<const std::byte> file, const std::string& name) : file_(file), name_(name) {}

  ZipTable read() {
    const Directory directory = find_directory();
    const auto entries = read_directory(directory);
    ZipTable table;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
    for (const Central& entry : entries) {
      ZipMember member = locate(entry, directory.begin);
      ranges.emplace_back(entry.local, member.offset + member.bytes.size());
      const bool fresh = table.emplace(std::string(entry.name), member).second;
      require<DataError>(fresh, name_, ": byte ", entry.at, ": ", shown_text(entry.name), " appears twice");
    }
    std::sort(ranges.begin(), ranges.end());
    for (std::size_t i = 1; i < ranges.size(); ++i)
      require<DataError>(ranges[i].first >= ranges[i - 1].second, name_, ": byte ", ranges[i].first,
                         ": a member that begins inside another");
    return table;
  }

 private:
  ByteReader at(std::uint64_t offset) const { return {file_.subspan(offset), name_, offset}; }

  // The end record is the last thing of the file but for a comment, which must reach to the end exactly.
  std::uint64_t find_end() const {
    const std::size_t size = file_.size();
    require<DataError>(size >= kEndSize, name_, ": byte 0: ", size, " bytes are too few for a zip file");
    const std::size_t lowest = size - kEndSize - std::min<std::size_t>(size - kEndSize, 0xFFFF);
    for (std::size_t begin = size - kEndSize + 1; begin-- > lowest;) {
      if (file_[begin] != std::byte{'P'}) continue;
      ByteReader reader = at(begin);
      if (reader.u32("end record") != kEndMark) continue;
      reader.take(16, "end record");
      if (reader.u16("end record") == reader.left()) return begin;
    }
    throw DataError(
        join(name_, ": byte ", size,
             ": no end record of a zip file; the file may be cut short, or has bytes after its end"));
  }

  Directory find_directory() const {
    const std::uint64_t end = find_end();
    ByteReader reader = at(end + 4);
    const std::uint16_t disk = reader.u16("disk"), first_disk = reader.u16("disk");
    const std::uint16_t here = reader.u16("count"), members = reader.u16("count");
    const std::uint32_t size = reader.u32("size"), begin = reader.u32("offset");
    Directory d{begin, size, members, end};
    const bool has64 = end >= kLocatorSize && at(end - kLocatorSize).u32("locator") == kLocator64Mark;
    if (has64) {
      d = read_end64(end - kLocatorSize);
      // Readers differ in which record they believe, so both must say the same where both can.
      require<DataError>((members == 0xFFFF || members == d.members) &&
                             (size == kSaturated || size == d.size) &&
                             (begin == kSaturated || begin == d.begin),
                         name_, ": byte ", end, ": the two end records disagree");
    } else {
      require<DataError>(disk == 0 && first_disk == 0 && here == members, name_, ": byte ", end,
                         ": a zip file on several disks");
    }
    require<DataError>(d.begin <= d.end_records && d.size == d.end_records - d.begin, name_, ": byte ", end,
                       ": a central directory of ", d.size, " bytes at ", d.begin, " does not end at ",
                       d.end_records, ", where the end record is");
    require<DataError>(d.members <= d.size / kCentralSize, name_, ": byte ", end, ": ", d.members,
                       " members do not fit a central directory of ", d.size, " bytes");
    return d;
  }

  Directory read_end64(std::uint64_t locator) const {
    ByteReader reader = at(locator + 4);
    const std::uint32_t disk = reader.u32("disk");
    const std::uint64_t begin = reader.u64("offset");
    const std::uint32_t disks = reader.u32("disks");
    require<DataError>(disk == 0 && disks <= 1, name_, ": byte ", locator, ": a zip file on several disks");
    require<DataError>(locator >= kEnd64Size && begin <= locator - kEnd64Size, name_, ": byte ", locator,
                       ": the zip64 end record at ", begin, " does not lie before its locator");
    ByteReader record = at(begin);
    if (record.u32("zip64 end record") != kEnd64Mark)
      record.fail("no zip64 end record where its locator says");
    const std::uint64_t rest = record.u64("size");
    record.take(12, "versions and disks");
    const std::uint64_t here = record.u64("count"), members = record.u64("count");
    const std::uint64_t size = record.u64("size"), directory = record.u64("offset");
    require<DataError>(rest == locator - begin - 12 && here == members, name_, ": byte ", begin,
                       ": a zip64 end record of another size than its place, or on several disks");
    return {directory, size, members, begin};
  }

  std::vector<Central> read_directory(const Directory& d) const {
    ByteReader reader(file_.subspan(d.begin, d.size), name_, d.begin);
    std::vector<Central> entries;
    for (std::uint64_t i = 0; i < d.members; ++i) entries.push_back(read_central(reader));
    if (reader.left() != 0)
      reader.fail(join("after ", d.members, " members, ", reader.left(), " bytes are left"));
    return entries;
  }

  Central read_central(ByteReader& reader) const {
    Central e;
    e.at = reader.offset();
    if (reader.u32("central header") != kCentralMark) {
      throw DataError(join(name_, ": byte ", e.at, ": no header of a member where one must be"));
    }
    reader.take(4, "versions");
    e.flags = reader.u16("flags");
    e.method = reader.u16("method");
    reader.take(4, "time");
    e.crc = reader.u32("crc");
    e.stored_size = reader.u32("size");
    e.size = reader.u32("size");
    const std::uint16_t name = reader.u16("length"), extra = reader.u16("length"),
                        comment = reader.u16("length");
    const std::uint16_t disk = reader.u16("disk");
    reader.take(6, "attributes");
    e.local = reader.u32("offset");
    e.name = reader.text(name, "member name");
    const std::uint64_t extra_at = reader.offset();
    read_zip64(ByteReader(reader.take(extra, "extra field"), name_, extra_at), e);
    reader.take(comment, "comment");
    check(e, disk);
    return e;
  }

  // Extra field 1 holds, in this order, those of the three numbers that are saturated.
  void read_zip64(ByteReader extra, Central& e) const {
    while (extra.left() >= 4) {
      const std::uint16_t id = extra.u16("extra field"), size = extra.u16("extra field");
      const std::uint64_t begin = extra.offset();
      const auto content = extra.take(size, "extra field");
      if (id != 1) continue;
      ByteReader reader(content, name_, begin);
      for (std::uint64_t* value : {&e.size, &e.stored_size, &e.local})
        if (*value == kSaturated && reader.left() >= 8) *value = reader.u64("zip64 field");
      return;
    }
  }

  void check(const Central& e, std::uint16_t disk) const {
    const auto refuse = [&](bool wrong, std::string_view what) {
      require<DataError>(!wrong, name_, ": byte ", e.at, ": member ", shown_text(e.name), ": ", what);
    };
    refuse((e.flags & (kEncrypted | kStrongEncryption)) != 0, "is encrypted");
    refuse(e.method != 0,
           "is compressed, which torch.save never does; TorchScript programs and repacked files are");
    refuse(e.stored_size != e.size, "is stored, yet its two sizes differ");
    refuse(disk != 0, "lies on another disk");
    const bool odd = e.name.empty() || e.name.front() == '/' || e.name.find('\\') != std::string_view::npos ||
                     e.name.find('\0') != std::string_view::npos || e.name.substr(1).find(':') == 0;
    refuse(odd || has_parent_part(e.name), "a name that is no plain relative path");
  }

  static bool has_parent_part(std::string_view name) {
    for (std::size_t begin = 0; begin <= name.size();) {
      const std::size_t end = std::min(name.find('/', begin), name.size());
      if (name.substr(begin, end - begin) == "..") return true;
      begin = end + 1;
    }
    return false;
  }

  // The payload behind the local header, which must agree with the central one.
  ZipMember locate(const Central& e, std::uint64_t directory) const {
    const auto refuse = [&](bool wrong, std::string_view what) {
      require<DataError>(!wrong, name_, ": byte ", e.local, ": member ", shown_text(e.name), ": ", what);
    };
    refuse(e.local >= directory, "its local header does not lie before the central directory");
    ByteReader reader(file_.subspan(e.local, directory - e.local), name_, e.local);
    refuse(reader.u32("local header") != kLocalMark, "no local header where the central directory says");
    reader.take(2, "version");
    const std::uint16_t flags = reader.u16("flags"), method = reader.u16("method");
    reader.take(8, "time and crc");
    const std::uint32_t stored_size = reader.u32("size"), size = reader.u32("size");
    const std::uint16_t name = reader.u16("length"), extra = reader.u16("length");
    refuse(reader.text(name, "member name") != e.name, "another name in its local header");
    refuse(method != e.method || flags != e.flags, "other flags or method in its local header");
    // With flag 3 the sizes follow the payload; a saturated one stands in the extra field.
    const auto agrees = [&](std::uint32_t local) {
      return local == e.size || local == kSaturated || ((flags & kSizesFollow) != 0 && local == 0);
    };
    refuse(!agrees(size) || !agrees(stored_size), "other sizes in its local header");
    reader.take(extra, "extra field");
    ZipMember member;
    member.offset = reader.offset();
    member.bytes = reader.take(e.size, "payload");
    member.crc = e.crc;
    return member;
  }

  std::span<const std::byte> file_;
  const std::string& name_;
};

}  // namespace

bool is_zip(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return text.starts_with("PK\x03\x04");
}

ZipTable parse_zip(std::span<const std::byte> file, const std::string& name) {
  require<DataError>(is_zip(file), name, ": byte 0: not a zip file");
  return ZipReader(file, name).read();
}

void check_crc(const ZipMember& member, std::string_view member_name, const std::string& name) {
  if (member.crc == 0) return;
  const auto found = crc32_z(0, reinterpret_cast<const Bytef*>(member.bytes.data()), member.bytes.size());
  require<DataError>(found == member.crc, name, ": byte ", member.offset, ": member ",
                     shown_text(member_name), ": the checksum is wrong: the file is damaged");
}

}  // namespace rankine
