#include "io/config/card_file.h"

#include <fstream>

#include "io/config/codec.h"

namespace rankine::config {
namespace {

// The file as it stands.
struct CardFile {
  std::string name, source;
  DeviceKind kind = DeviceKind::cuda;
  std::optional<MemoryBudget> memory, reserved_memory;
  double flops = 0, bytes = 0, link = 0, file = 0, launch = 0;
  std::optional<double> peak_flops, peak_bytes;
};

}  // namespace

template <>
struct EnumNames<DeviceKind> {
  static constexpr NameTable<DeviceKind, 2> value{{{"cuda", DeviceKind::cuda}, {"cpu", DeviceKind::cpu}}};
};

template <>
inline constexpr bool kHasTable<CardFile> = true;

template <>
const Table<CardFile>& table_of() {
  using S = CardFile;
  constexpr double kMost = 1e18;
  const auto rate = [](std::string_view key, std::string_view doc, bool required) {
    return FieldInfo{.key = key, .doc = doc, .min = 0, .max = kMost, .above_min = true, .required = required};
  };
  static const Table<CardFile> table = {
      field<S>({.key = "name", .doc = "What the plan calls it."}, &S::name),
      field<S>({.key = "kind", .doc = "cuda computes in fp16 or bf16, cpu in fp32."}, &S::kind),
      field<S>({.key = "memory", .doc = "All of the card's memory.", .required = true}, &S::memory),
      field<S>({.key = "reserved_memory", .doc = "What display, driver and context take of it."},
               &S::reserved_memory),
      field<S>(rate("flops_per_second", "Of products, sustained: 16-bit with fp32 sums on cuda.", true),
               &S::flops),
      field<S>(rate("bytes_per_second", "Of its memory, sustained, read and written.", true), &S::bytes),
      field<S>(rate("link_bytes_per_second", "To and from page-locked memory of the host, each way.", true),
               &S::link),
      field<S>(rate("file_bytes_per_second", "Of the disk with the page file.", true), &S::file),
      field<S>({.key = "launch_seconds", .doc = "Of one operation, whatever it does.", .min = 0, .max = 1},
               &S::launch),
      field<S>(rate("peak_flops_per_second", "By data sheet: the floor of a step.", false), &S::peak_flops),
      field<S>(rate("peak_bytes_per_second", "By data sheet: the floor of a step.", false), &S::peak_bytes),
      field<S>({.key = "source", .doc = "Where the numbers are from."}, &S::source),
  };
  return table;
}

namespace {

void check(const CardFile& card, Reader& reader, const Location& whole) {
  const auto place = [&](const char* key) {
    const auto found = reader.seen.find(key);
    return found == reader.seen.end() ? whole : found->second.at;
  };
  for (const Field<CardFile>& field : table_of<CardFile>()) {
    if (field.info.required && !reader.seen.contains(field.info.key))
      reader.problems.add(whole, std::string(field.info.key),
                          join("the key is missing; it is required: ", field.info.doc));
  }
  const auto amount = [&](const std::optional<MemoryBudget>& given, const char* key) {
    if (given && given->bytes == 0)
      reader.problems.add(place(key), key, "'auto' is not allowed; allowed: an amount such as 24GiB");
    return given ? given->bytes : 0;
  };
  if (reader.seen.contains("memory") && !card.memory && reader.problems.empty())
    reader.problems.add(place("memory"), "memory", "expected an amount such as 24GiB, got nothing");
  const std::uint64_t all = amount(card.memory, "memory");
  if (const std::uint64_t others = amount(card.reserved_memory, "reserved_memory"); all > 0 && others >= all)
    reader.problems.add(place("reserved_memory"), "reserved_memory", "leaves nothing of memory");
  const auto not_below = [&](const std::optional<double>& peak, double sustained, const char* key) {
    if (peak && *peak < sustained)
      reader.problems.add(place(key), key, "is below the sustained rate; a peak is the most there can be");
  };
  not_below(card.peak_flops, card.flops, "peak_flops_per_second");
  not_below(card.peak_bytes, card.bytes, "peak_bytes_per_second");
}

}  // namespace

CardSpec parse_card(std::string_view yaml, std::string_view name) {
  Problems problems;
  const int source = problems.add_source(std::string(name), yaml.substr(0, kMaxRunFileBytes), true);
  const YamlNode tree = parse_yaml(yaml, source, problems);
  CardFile f;
  Reader reader{problems};
  if (tree.kind == YamlNode::Kind::null || tree.kind == YamlNode::Kind::map)
    read_map(tree, f, reader, "");
  else
    problems.add(tree.at, "", "expected a map of keys and values, got " + describe_node(tree));
  check(f, reader, {source, 0, 0});
  problems.throw_if_any();
  CardSpec spec;
  spec.card = {.name = f.name.empty() ? std::filesystem::path(name).stem().string() : f.name,
               .kind = f.kind,
               .memory = f.memory->bytes,
               .flops_per_second = f.flops,
               .bytes_per_second = f.bytes,
               .link_bytes_per_second = f.link,
               .file_bytes_per_second = f.file,
               .launch_seconds = f.launch,
               .source = f.source.empty() ? std::string(name) : f.source};
  spec.reserved = f.reserved_memory.value_or(MemoryBudget{}).bytes;
  spec.peak_flops_per_second = f.peak_flops.value_or(f.flops);
  spec.peak_bytes_per_second = f.peak_bytes.value_or(f.bytes);
  return spec;
}

CardSpec load_card(const std::filesystem::path& file) {
  std::error_code error;
  require<IoError>(!std::filesystem::is_directory(file, error), file.string(),
                   ": expected a file that describes a card, this is a folder");
  std::ifstream in(file, std::ios::binary);
  require<IoError>(in.good(), file.string(), ": cannot open the description of a card");
  std::string text(kMaxRunFileBytes + 1, '\0');  // one more than allowed, so that a longer file is noticed
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  require<IoError>(!in.bad(), file.string(), ": cannot read the description of a card");
  text.resize(static_cast<std::size_t>(in.gcount()));
  return parse_card(text, file.string());
}

}  // namespace rankine::config
