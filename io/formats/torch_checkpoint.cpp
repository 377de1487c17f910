#include "io/formats/torch_checkpoint.h"

#include "engine/core/error.h"
#include "io/formats/byte_reader.h"
#include "io/formats/pickle.h"
#include "io/formats/shown_text.h"
#include "io/formats/torch_tensors.h"
#include "io/formats/zip_archive.h"

namespace rankine {
namespace {

using torch_detail::StorageTable;

// Far more than real ones, which need some hundred bytes a tensor.
constexpr std::size_t kMaxPickleBytes = 256U << 20;

// PROTO 2, then the integer 0x1950a86a20f9469cfc6c, then STOP.
constexpr std::string_view kLegacyMagic("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19\x2E", 15);

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// ---- zip ----

// The top folder of all members, with its '/': of the one `data.pkl` that lies in a folder of the top level.
std::string root_of(const ZipTable& zip, const std::string& name) {
  static constexpr std::string_view kPickle = "data.pkl";
  std::string root;
  for (const auto& [path, member] : zip) {
    const std::size_t slash = path.find('/');
    if (slash == std::string::npos || std::string_view(path).substr(slash + 1) != kPickle) continue;
    require<DataError>(root.empty(), name, ": byte ", member.offset,
                       ": two members of the kind FOLDER/data.pkl");
    root = path.substr(0, slash + 1);
  }
  require<DataError>(!root.empty(), name, ": a zip file without FOLDER/data.pkl: not made by torch.save");
  return root;
}

TorchContents parse_zip_checkpoint(std::span<const std::byte> file, const std::string& name) {
  const ZipTable zip = parse_zip(file, name);
  const std::string root = root_of(zip, name), code = root + "code/";
  const auto after = zip.lower_bound(code);
  const bool script =
      zip.contains(root + "constants.pkl") || (after != zip.end() && after->first.starts_with(code));
  require<DataError>(!script, name,
                     ": a TorchScript program, not a checkpoint; save the model's state_dict()");
  if (const auto order = zip.find(root + "byteorder"); order != zip.end()) {
    require<DataError>(text_of(order->second.bytes).starts_with("little"), name, ": byte ",
                       order->second.offset, ": byte order ", shown_text(text_of(order->second.bytes)),
                       ", only little-endian files are read");
  }
  const ZipMember& member = zip.at(root + "data.pkl");
  require<DataError>(member.bytes.size() <= kMaxPickleBytes, name, ": byte ", member.offset, ": data.pkl of ",
                     member.bytes.size(), " bytes, at most ", kMaxPickleBytes);
  check_crc(member, root + "data.pkl", name);
  const Pickle pickle = read_pickle(member.bytes, name, member.offset);
  require<DataError>(pickle.size == member.bytes.size(), name, ": byte ", member.offset + pickle.size, ": ",
                     member.bytes.size() - pickle.size, " bytes after the end of the pickle");
  StorageTable storages;
  const std::string data = root + "data/";
  for (auto it = zip.lower_bound(data); it != zip.end() && it->first.starts_with(data); ++it)
    storages.emplace(it->first.substr(data.size()), it->second.bytes);
  return torch_detail::collect_tensors(pickle, storages, file.size(), name);
}

// ---- before torch 1.6 ----

class LegacyReader {
 public:
  LegacyReader(std::span<const std::byte> file, const std::string& name) : file_(file), name_(name) {}

  TorchContents read() {
    at_ = kLegacyMagic.size();
    check_version();
    check_system();
    const Pickle object = next_pickle();
    const Pickle keys = next_pickle();
    return torch_detail::collect_tensors(object, read_storages(object, keys), file_.size(), name_);
  }

 private:
  using Kind = PickleValue::Kind;

  Pickle next_pickle() {
    const std::size_t left = std::min(file_.size() - at_, kMaxPickleBytes);
    Pickle pickle = read_pickle(file_.subspan(at_, left), name_, at_);
    at_ += pickle.size;
    return pickle;
  }

  void check_version() {
    const std::size_t at = at_;
    const Pickle pickle = next_pickle();
    const PickleValue& version = pickle[pickle.root];
    require<DataError>(version.kind == Kind::integer && version.integer == 1001, name_, ": byte ", at,
                       ": expected protocol version 1001");
  }

  void check_system() {
    const std::size_t at = at_;
    const Pickle pickle = next_pickle();
    const PickleValue& dict = pickle[pickle.root];
    require<DataError>(dict.kind == Kind::dict, name_, ": byte ", at, ": expected a dict about the system");
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      if (pickle[dict.items[i]].text != "little_endian") continue;
      require<DataError>(pickle[dict.items[i + 1]].integer != 0, name_, ": byte ", at,
                         ": big-endian data, only little-endian files are read");
    }
  }

  // The storages stand one after the other in the order of `keys`; their element types are known from
  // `object`.
  StorageTable read_storages(const Pickle& object, const Pickle& keys) {
    std::map<std::string_view, torch_detail::StorageId> ids;
    for (const PickleValue& value : object.values) {
      if (value.kind != Kind::persistent) continue;
      const PickleValue& tuple = object[value.items[0]];
      if (tuple.kind == Kind::tuple && !tuple.items.empty() && object[tuple.items[0]].text == "module")
        continue;
      const auto id = torch_detail::storage_id(object, value, name_ + ": ");
      const auto [at, fresh] = ids.emplace(id.key, id);
      require<DataError>(
          fresh || (at->second.numel == id.numel && at->second.element_size == id.element_size), name_,
          ": storage ", shown_text(id.key), " is described in two ways");
    }
    const PickleValue& list = keys[keys.root];
    require<DataError>(list.kind == Kind::list, name_, ": byte ", at_ - keys.size,
                       ": expected a list of storages");
    StorageTable storages;
    for (const PickleId item : list.items) {
      const auto id = ids.find(keys[item].text);
      require<DataError>(keys[item].kind == Kind::text && id != ids.end(), name_, ": byte ", at_,
                         ": storage ", shown_text(keys[item].text), " is used by no tensor");
      const bool fresh = storages.emplace(id->first, next_storage(id->second)).second;
      require<DataError>(fresh, name_, ": byte ", at_, ": storage ", shown_text(id->first), " appears twice");
    }
    require<DataError>(at_ == file_.size(), name_, ": byte ", at_, ": ", file_.size() - at_,
                       " bytes after the last storage");
    return storages;
  }

  std::span<const std::byte> next_storage(const torch_detail::StorageId& id) {
    ByteReader reader(file_.subspan(at_), name_, at_);
    const std::uint64_t numel = reader.u64("count");
    if (numel != id.numel) reader.fail(join("a storage of ", numel, " elements, its tensors say ", id.numel));
    std::uint64_t size = 0;
    if (__builtin_mul_overflow(numel, std::uint64_t{id.element_size}, &size))
      reader.fail("a size that overflows");
    const auto bytes = reader.take(size, "storage");
    at_ += reader.position();
    return bytes;
  }

  std::span<const std::byte> file_;
  const std::string& name_;
  std::size_t at_ = 0;
};

}  // namespace

bool is_legacy_torch(std::span<const std::byte> bytes) { return text_of(bytes).starts_with(kLegacyMagic); }

TorchContents parse_torch_checkpoint(std::span<const std::byte> file, const std::string& name) {
  if (is_legacy_torch(file)) return LegacyReader(file, name).read();
  require<DataError>(is_zip(file), name,
                     ": byte 0: no checkpoint of PyTorch: neither a zip file nor its older form");
  return parse_zip_checkpoint(file, name);
}

TorchCheckpoint::TorchCheckpoint(const std::filesystem::path& path)
    : file_(path), contents_(parse_torch_checkpoint(file_.bytes(), path.string())) {}

}  // namespace rankine
