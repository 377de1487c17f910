#include "io/formats/torch_tensors.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

#include "engine/core/error.h"
#include "io/config/utf8.h"
#include "io/formats/shown_text.h"
#include "io/formats/strided_copy.h"
#include "io/formats/torch_types.h"

namespace rankine::torch_detail {
namespace {

using Kind = PickleValue::Kind;

constexpr int kMaxDepth = 8;  // of dicts in dicts, and of parameters around tensors
constexpr std::size_t kMaxRank = 16;
constexpr std::size_t kMaxNameBytes = 64U << 20;  // of all names together
constexpr std::size_t kMaxFlags = 64;
constexpr std::array<std::string_view, 6> kWrappers{"state_dict", "model_state_dict", "model",
                                                    "module",     "params_ema",       "params"};

// What the callee of a call means here.
enum class Builder { none, tensor, tensor_with_dtype, parameter };

Builder builder_of(const PickleValue& callee) {
  if (callee.kind != Kind::global) return Builder::none;
  const std::string_view name = callee.text;
  if (callee.module == "torch._utils") {
    if (name == "_rebuild_tensor" || name == "_rebuild_tensor_v2") return Builder::tensor;
    if (name == "_rebuild_tensor_v3") return Builder::tensor_with_dtype;
    if (name == "_rebuild_parameter" || name == "_rebuild_parameter_with_state") return Builder::parameter;
  }
  return callee.module == "torch.nn.parameter" && name == "Parameter" ? Builder::parameter : Builder::none;
}

class Collector {
 public:
  Collector(const Pickle& pickle, const StorageTable& storages, std::uint64_t budget, const std::string& name)
      : pickle_(pickle), storages_(storages), budget_(budget), name_(name) {
    for (const PickleValue& value : pickle.values)
      if (value.kind == Kind::dict) visits_left_ += value.items.size() / 2;
  }

  TorchContents collect() {
    const PickleId root = unwrapped(pickle_.root);
    const Kind kind = pickle_[pickle_.root].kind;
    if (pickle_[root].kind == Kind::dict) collect_dict(root, "", 0);
    require<DataError>(!out_.tensors.empty(), name_, ": holds no tensors by name",
                       kind == Kind::call   ? "; a whole Python object was saved, not its state_dict()"
                       : kind == Kind::dict ? ", in none of the places where they are looked for"
                                            : "; the saved object is no dict");
    return std::move(out_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void fail(const std::string& tensor, const Parts&... parts) const {
    throw DataError(join(name_, ": tensor ", shown_text(tensor), ": ", parts...));
  }

  // ---- where the tensors are ----

  const PickleId* value_of(const PickleValue& dict, std::string_view key) const {
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      const PickleValue& k = pickle_[dict.items[i]];
      if (k.kind == Kind::text && k.text == key) return &dict.items[i + 1];
    }
    return nullptr;
  }

  PickleId unwrapped(PickleId id) const {
    for (int depth = 0; depth < kMaxDepth && pickle_[id].kind == Kind::dict; ++depth) {
      const PickleId* inner = nullptr;
      for (const std::string_view key : kWrappers) {
        const PickleId* value = value_of(pickle_[id], key);
        if (value == nullptr || pickle_[*value].kind != Kind::dict || pickle_[*value].items.empty()) continue;
        inner = value;
        break;
      }
      if (inner == nullptr) break;
      id = *inner;
    }
    return id;
  }

  // Dicts may hold each other many times over: without a limit a small file could name endlessly many
  // tensors.
  void collect_dict(PickleId id, const std::string& prefix, int depth) {
    const PickleValue& dict = pickle_[id];
    for (std::size_t i = 0; i + 1 < dict.items.size(); i += 2) {
      require<DataError>(visits_left_-- > 0, name_, ": refers to the same dicts again and again");
      const PickleValue& key = pickle_[dict.items[i]];
      const PickleId value = dict.items[i + 1];
      if (key.kind != Kind::text) continue;
      name_bytes_ += prefix.size() + key.text.size();
      require<DataError>(name_bytes_ <= kMaxNameBytes, name_, ": more than ", kMaxNameBytes,
                         " bytes of names");
      const std::string name = prefix + std::string(key.text);
      if (pickle_[value].kind == Kind::dict) {
        if (depth + 1 < kMaxDepth) collect_dict(value, name + ".", depth + 1);
        continue;
      }
      const PickleValue* call = tensor_call(value, name);
      if (call == nullptr) continue;
      if (!is_utf8(name)) fail(name, "its name is not UTF-8");
      if (!out_.tensors.emplace(name, tensor_of(*call, name)).second) fail(name, "appears twice");
    }
  }

  // ---- one tensor ----

  // The call that makes the tensor, behind any parameters around it; null when `id` is no tensor.
  const PickleValue* tensor_call(PickleId id, const std::string& name) const {
    for (int depth = 0; depth < kMaxDepth; ++depth) {
      const PickleValue& value = pickle_[id];
      if (value.kind != Kind::call) return nullptr;
      const Builder builder = builder_of(pickle_[value.items[0]]);
      if (builder == Builder::none) return nullptr;
      if (builder != Builder::parameter) return &value;
      const PickleValue& arguments = pickle_[value.items[1]];
      if (arguments.kind != Kind::tuple || arguments.items.empty()) fail(name, "a parameter of nothing");
      id = arguments.items[0];
    }
    fail(name, "parameters nested more than ", kMaxDepth, " deep");
  }

  TensorInfo tensor_of(const PickleValue& call, const std::string& name) {
    const PickleValue& arguments = pickle_[call.items[1]];
    const bool with_dtype = builder_of(pickle_[call.items[0]]) == Builder::tensor_with_dtype;
    const std::size_t needed = with_dtype ? 7 : 4;
    if (arguments.kind != Kind::tuple || arguments.items.size() < needed) fail(name, "too few arguments");
    if (arguments.items.size() > needed + (with_dtype ? 0 : 2)) check_flags(arguments.items.back(), name);

    ElementType type;
    auto bytes = storage_bytes(arguments.items[0], name, type);
    if (with_dtype) type = dtype_of(arguments.items[6], name);
    StridedView view;
    view.element_size = type.size;
    view.storage = bytes;
    view.offset = number(pickle_[arguments.items[1]], name, "storage offset");
    view.shape = numbers(arguments.items[2], name, "size");
    view.strides = numbers(arguments.items[3], name, "stride");
    if (view.shape.size() != view.strides.size())
      fail(name, view.shape.size(), " sizes and ", view.strides.size(), " strides");
    return {type.dtype, view.shape, values_of(view, name)};
  }

  std::span<const std::byte> values_of(const StridedView& view, const std::string& name) {
    if (const std::string problem = problem_of(view); !problem.empty()) fail(name, problem);
    const std::uint64_t size = static_cast<std::uint64_t>(numel(view)) * view.element_size;
    if (is_contiguous(view)) {
      const std::uint64_t begin = size == 0 ? 0 : static_cast<std::uint64_t>(view.offset) * view.element_size;
      return view.storage.subspan(begin, size);
    }
    if (size > budget_) fail(name, "its ", size, " bytes repeat their storage beyond the size of the file");
    budget_ -= size;
    return out_.gathered.emplace_back(gather(view));
  }

  // Metadata of recent versions: {"conj": True} or {"neg": True} on tensors whose values differ from the
  // bytes.
  void check_flags(PickleId id, const std::string& name) const {
    const PickleValue& flags = pickle_[id];
    if (flags.kind != Kind::dict) return;
    if (flags.items.size() > kMaxFlags) fail(name, "has ", flags.items.size() / 2, " flags");
    for (const std::string_view flag : {"conj", "neg"}) {
      const PickleId* value = value_of(flags, flag);
      if (value != nullptr && pickle_[*value].integer != 0)
        fail(name, "is stored lazily conjugated or negated; call resolve_conj().resolve_neg() before saving");
    }
  }

  std::span<const std::byte> storage_bytes(PickleId id, const std::string& name, ElementType& type) const {
    if (pickle_[id].kind != Kind::persistent) fail(name, "its storage is no storage");
    const StorageId at = storage_id(pickle_, pickle_[id], join(name_, ": tensor ", shown_text(name), ": "));
    type = {at.dtype, at.element_size};
    const auto found = storages_.find(at.key);
    if (found == storages_.end()) fail(name, "its storage ", shown_text(at.key), " is not in the file");
    const auto bytes = found->second;
    if (at.numel > bytes.size() / at.element_size)
      fail(name, "its storage ", shown_text(at.key), " needs ", at.numel, " elements of ", at.element_size,
           " bytes and has ", bytes.size(), " bytes");
    return bytes.subspan(at.begin * at.element_size, at.view_numel * at.element_size);
  }

  ElementType dtype_of(PickleId id, const std::string& name) const {
    const PickleValue& value = pickle_[id];
    const auto type =
        value.kind == Kind::global && value.module == "torch" ? dtype_named(value.text) : std::nullopt;
    if (!type) fail(name, "its element type ", shown_text(value.text), " is not known");
    return *type;
  }

  std::int64_t number(const PickleValue& value, const std::string& name, std::string_view what) const {
    if (value.kind != Kind::integer) fail(name, what, " is no whole number");
    return value.integer;
  }
  // A tuple or list of numbers, or torch.Size(one).
  std::vector<std::int64_t> numbers(PickleId id, const std::string& name, std::string_view what) const {
    const PickleValue* value = &pickle_[id];
    if (value->kind == Kind::call && pickle_.is_global(value->items[0], "torch", "Size")) {
      const PickleValue& arguments = pickle_[value->items[1]];
      if (arguments.items.size() == 1) value = &pickle_[arguments.items[0]];
    }
    if (value->kind != Kind::tuple && value->kind != Kind::list) fail(name, what, " is no tuple");
    if (value->items.size() > kMaxRank) fail(name, value->items.size(), " dimensions, at most ", kMaxRank);
    std::vector<std::int64_t> out;
    for (const PickleId item : value->items) out.push_back(number(pickle_[item], name, what));
    return out;
  }

  const Pickle& pickle_;
  const StorageTable& storages_;
  std::uint64_t budget_;
  const std::string& name_;
  std::uint64_t visits_left_ = 0;
  std::size_t name_bytes_ = 0;
  TorchContents out_;
};

}  // namespace

StorageId storage_id(const Pickle& pickle, const PickleValue& persistent, const std::string& where) {
  const PickleValue& id = pickle[persistent.items.at(0)];
  const auto item = [&](std::size_t i) -> const PickleValue& { return pickle[id.items[i]]; };
  require<DataError>(id.kind == Kind::tuple && id.items.size() >= 5 && item(0).text == "storage", where,
                     "a persistent id that is no storage");
  const PickleValue& type = item(1);
  const bool torch = type.kind == Kind::global && (type.module == "torch" || type.module == "torch.cuda" ||
                                                   type.module == "torch.storage");
  const auto element = torch ? storage_type(type.text) : std::nullopt;
  require<DataError>(element.has_value(), where, "storage class ", shown_text(type.module), " ",
                     shown_text(type.text), " is not known");
  require<DataError>(item(2).kind == Kind::text && item(4).kind == Kind::integer && item(4).integer >= 0,
                     where, "a storage without key or size");
  StorageId out;
  out.key = item(2).text;
  out.element_size = element->size;
  out.dtype = element->dtype;
  out.numel = out.view_numel = static_cast<std::uint64_t>(item(4).integer);
  if (id.items.size() < 6 || item(5).kind == Kind::none) return out;
  const PickleValue& view = item(5);
  const bool formed = view.kind == Kind::tuple && view.items.size() == 3 &&
                      pickle[view.items[1]].kind == Kind::integer &&
                      pickle[view.items[2]].kind == Kind::integer;
  require<DataError>(formed, where, "a view of a storage without offset or size");
  const std::int64_t begin = pickle[view.items[1]].integer, size = pickle[view.items[2]].integer;
  const bool inside = begin >= 0 && size >= 0 && static_cast<std::uint64_t>(begin) <= out.numel &&
                      static_cast<std::uint64_t>(size) <= out.numel - static_cast<std::uint64_t>(begin);
  require<DataError>(inside, where, "a view [", begin, ", +", size, ") outside of its storage of ",
                     out.numel);
  out.begin = static_cast<std::uint64_t>(begin);
  out.view_numel = static_cast<std::uint64_t>(size);
  return out;
}

TorchContents collect_tensors(const Pickle& pickle, const StorageTable& storages, std::uint64_t budget,
                              const std::string& name) {
  return Collector(pickle, storages, budget, name).collect();
}

}  // namespace rankine::torch_detail
