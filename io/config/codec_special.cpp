#include <algorithm>

#include "io/config/codec.h"
#include "io/config/parse_number.h"

namespace rankine::config {
namespace {

using Kind = YamlNode::Kind;

constexpr std::string_view kDevicePattern = "^(auto|cpu|cuda(:[0-9]{1,2})?)$";
constexpr std::string_view kBudgetPattern = "^(auto|[0-9]+(\\.[0-9]+)? ?[KMGT]i?B)$";

struct ByteUnit {
  std::string_view name;
  double bytes;
};
constexpr ByteUnit kByteUnits[] = {{"TiB", 0x1p40}, {"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10},
                                   {"TB", 1e12},    {"GB", 1e9},     {"MB", 1e6},     {"KB", 1e3}};

// 0 when the text is no amount of memory.
std::uint64_t parse_bytes(std::string_view text) {
  for (const ByteUnit& unit : kByteUnits) {
    if (text.size() <= unit.name.size() || text.substr(text.size() - unit.name.size()) != unit.name) continue;
    text.remove_suffix(unit.name.size());
    if (text.back() == ' ') text.remove_suffix(1);
    const bool digits =
        std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || c == '.'; });
    double amount = 0;
    if (!digits || !parse_real(text, amount) || amount * unit.bytes >= 0x1p60) return 0;
    return static_cast<std::uint64_t>(amount * unit.bytes);
  }
  return 0;
}

}  // namespace

void Codec<Resolution>::read(const YamlNode& node, Resolution& out, const FieldInfo& info, Reader& reader,
                             const std::string& path) {
  Resolution value;
  const bool pair = node.kind == Kind::sequence && node.items.size() == 2;
  if (!pair && node.kind != Kind::scalar)
    return reader.fail(
        node, path,
        join("expected one number of pixels or [width, height], got ",
             node.kind == Kind::sequence ? join("a list of ", node.items.size()) : describe_node(node)));
  const std::size_t before = reader.problems.size();
  Codec<std::int64_t>::read(pair ? node.items[0] : node, value.width, info, reader, path);
  value.height = value.width;
  if (pair) Codec<std::int64_t>::read(node.items[1], value.height, info, reader, path);
  if (reader.problems.size() == before) out = value;
}
Json Codec<Resolution>::json(const Resolution& value) {
  return value.width == value.height ? Json(value.width) : Json::array({value.width, value.height});
}
Json Codec<Resolution>::schema(const FieldInfo& info) {
  const Json side = Codec<std::int64_t>::schema(info);
  const Json pair{{"type", "array"}, {"items", side}, {"minItems", 2}, {"maxItems", 2}};
  return Json{{"anyOf", Json::array({side, pair})}};
}
std::string Codec<Resolution>::type_name(const FieldInfo&) { return "whole number or [width, height]"; }
std::string Codec<Resolution>::allowed(const FieldInfo& info) { return allowed_numbers(info); }

void Codec<Warmup>::read(const YamlNode& node, Warmup& out, const FieldInfo& info, Reader& reader,
                         const std::string& path) {
  std::int64_t steps = 0;
  double fraction = 0;
  const bool plain = node.kind == Kind::scalar && !node.quoted;
  if (plain && parse_number(node.text, steps) && steps >= 0) {
    out = {steps, 0};
  } else if (plain && parse_real(node.text, fraction) && fraction >= 0 && fraction < 1) {
    out = {0, fraction};
  } else {
    reader.fail(node, path, join(describe_node(node), " is not allowed; allowed: ", allowed(info)));
  }
}
Json Codec<Warmup>::json(const Warmup& value) {
  return value.fraction != 0 ? Json(value.fraction) : Json(value.steps);
}
Json Codec<Warmup>::schema(const FieldInfo&) {
  const Json steps{{"type", "integer"}, {"minimum", 0}};
  const Json share{{"type", "number"}, {"minimum", 0}, {"exclusiveMaximum", 1}};
  return Json{{"anyOf", Json::array({steps, share})}};
}
std::string Codec<Warmup>::type_name(const FieldInfo&) { return "whole number or share"; }
std::string Codec<Warmup>::allowed(const FieldInfo&) {
  return "a whole number of steps (0 or more), or a share of all steps as a decimal below 1";
}

void Codec<DeviceChoice>::read(const YamlNode& node, DeviceChoice& out, const FieldInfo& info, Reader& reader,
                               const std::string& path) {
  constexpr std::string_view kCuda = "cuda:";
  int index = 0;
  const std::string_view text = node.text;
  if (node.kind == Kind::scalar && (text == "auto" || text == "cpu")) {
    out = {text == "cpu" ? DeviceChoice::Kind::cpu : DeviceChoice::Kind::automatic, 0};
  } else if (node.kind == Kind::scalar && text == "cuda") {
    out = {DeviceChoice::Kind::cuda, 0};
  } else if (node.kind == Kind::scalar && text.substr(0, kCuda.size()) == kCuda &&
             text.size() <= kCuda.size() + 2 && parse_number(text.substr(kCuda.size()), index) &&
             index >= 0) {
    out = {DeviceChoice::Kind::cuda, index};
  } else {
    reader.fail(node, path,
                join(describe_node(node), " is not allowed; allowed: ", allowed(info),
                     nearest_hint(text, {"auto", "cpu", "cuda:0"})));
  }
}
Json Codec<DeviceChoice>::json(const DeviceChoice& value) {
  if (value.kind == DeviceChoice::Kind::cuda) return join("cuda:", value.index);
  return value.kind == DeviceChoice::Kind::cpu ? "cpu" : "auto";
}
Json Codec<DeviceChoice>::schema(const FieldInfo&) {
  return Json{{"type", "string"}, {"pattern", kDevicePattern}};
}
std::string Codec<DeviceChoice>::type_name(const FieldInfo&) { return "choice"; }
std::string Codec<DeviceChoice>::allowed(const FieldInfo&) { return "auto, cpu, cuda or cuda:N"; }

void Codec<MemoryBudget>::read(const YamlNode& node, MemoryBudget& out, const FieldInfo& info, Reader& reader,
                               const std::string& path) {
  const std::uint64_t bytes = node.kind == Kind::scalar ? parse_bytes(node.text) : 0;
  if (bytes > 0 || (node.kind == Kind::scalar && node.text == "auto")) {
    out.bytes = bytes;
  } else {
    reader.fail(node, path, join(describe_node(node), " is not allowed; allowed: ", allowed(info)));
  }
}
Json Codec<MemoryBudget>::json(const MemoryBudget& value) {
  if (value.bytes == 0) return "auto";
  for (const ByteUnit& unit : kByteUnits) {
    const auto size = static_cast<std::uint64_t>(unit.bytes);
    if (value.bytes % size == 0) return join(value.bytes / size, unit.name);
  }
  return join(format_number(static_cast<double>(value.bytes) / 0x1p10), "KiB");
}
Json Codec<MemoryBudget>::schema(const FieldInfo&) {
  return Json{{"type", "string"}, {"pattern", kBudgetPattern}};
}
std::string Codec<MemoryBudget>::type_name(const FieldInfo&) { return "amount of memory"; }
std::string Codec<MemoryBudget>::allowed(const FieldInfo&) {
  return "auto, or an amount with its unit such as 22GiB or 800MiB";
}

}  // namespace rankine::config
