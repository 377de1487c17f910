#include "io/formats/bnb_source.h"

#include <set>

#include "engine/core/error.h"
#include "io/formats/bnb_matrix.h"

namespace rankine {
namespace {

constexpr std::string_view kScale = "_scale";
constexpr std::string_view kNf4Helpers[] = {".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map",
                                            kNf4State};

// "X.weight" when `name` is X.weight + suffix; empty otherwise.
std::string base_of(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix) || name.size() == suffix.size()) return {};
  return std::string(name.substr(0, name.size() - suffix.size()));
}

bool is_thudm(const TensorSource& source, const std::string& base) {
  const TensorInfo* codes = source.find(base);
  return base.ends_with(".weight") && codes != nullptr && codes->dtype == FileDType::i8;
}

}  // namespace

DequantizedSource::DequantizedSource(std::shared_ptr<const TensorSource> inner, int thudm_bits)
    : inner_(std::move(inner)) {
  std::set<std::string, std::less<>> helpers;
  for (const auto& entry : inner_->tensors()) {
    const std::string& name = entry.first;
    require<DataError>(!name.ends_with("bitsandbytes__fp4"), describe(), ": tensor '", name,
                       "': FP4 is not supported; NF4 is");
    if (const std::string base = base_of(name, kNf4State); !base.empty()) {
      matrices_.emplace(base, nf4_matrix(*inner_, base));
      for (const std::string_view helper : kNf4Helpers) helpers.insert(base + std::string(helper));
    } else if (const std::string codes = base_of(name, kScale); is_thudm(*inner_, codes)) {
      matrices_.emplace(codes, thudm_matrix(*inner_, codes, thudm_bits));
      helpers.insert(name);
    }
  }
  for (const auto& [name, info] : inner_->tensors()) {
    if (helpers.contains(name)) continue;
    const auto matrix = matrices_.find(name);
    tensors_.emplace(name, matrix == matrices_.end() ? info : matrix->second->info);
  }
}

DequantizedSource::~DequantizedSource() = default;

TensorBytes DequantizedSource::load(std::string_view name) const {
  at(name);
  const auto matrix = matrices_.find(name);
  if (matrix == matrices_.end()) return inner_->load(name);
  auto bytes = std::make_shared<std::vector<std::byte>>(matrix->second->make(*inner_));
  return {*bytes, bytes};
}

std::shared_ptr<const TensorSource> dequantized(std::shared_ptr<const TensorSource> source, int thudm_bits) {
  for (const auto& [name, info] : source->tensors()) {
    const bool fp4 = name.ends_with("bitsandbytes__fp4");  // refused there, by name
    if (fp4 || name.ends_with(kNf4State) ||
        (name.ends_with(kScale) && is_thudm(*source, base_of(name, kScale))))
      return std::make_shared<const DequantizedSource>(std::move(source), thudm_bits);
  }
  return source;
}

}  // namespace rankine
