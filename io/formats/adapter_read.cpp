#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/error.h"
#include "io/formats/adapter_alpha.h"
#include "io/formats/adapter_file.h"
#include "io/formats/adapter_keys.h"

namespace rankine {
namespace {

using adapter_detail::ConfiguredAlpha;
using adapter_detail::Key;
using adapter_detail::Part;

// A tensor of the file and what its name says.
struct Named {
  const std::string* key;
  const TensorInfo* info;
  Key parsed;
};

// The tensors of one module; all of the same spelling.
struct Pieces {
  const Named *down = nullptr, *up = nullptr, *alpha = nullptr;
};

std::vector<Named> parse_keys(const TensorSource& source) {
  std::vector<Named> named;
  for (const auto& [key, info] : source.tensors()) {
    auto parsed = adapter_detail::parse_key(key);
    if (!parsed) {
      const auto kind = adapter_detail::foreign_kind(key);
      require<DataError>(kind.empty(), source.describe(), ": \"", key, "\" belongs to a ", kind,
                         " adapter; only plain LoRA of Stable Diffusion models is read");
      throw DataError(
          join(source.describe(), ": \"", key, "\" is not a key of a LoRA file; expected lora_unet_, ",
               "lora_te_, lora_te1_, lora_te2_, unet., text_encoder. or text_encoder_2. and a LoRA part"));
    }
    named.push_back({&key, &info, std::move(*parsed)});
  }
  require<DataError>(!named.empty(), source.describe(), ": holds no tensors");
  return named;
}

bool shows_sdxl(const Named& n) {
  const std::string name = adapter_detail::kohya_name(n.parsed, false);
  if (!name.starts_with("lora_unet_")) return name.starts_with("lora_te1_") || name.starts_with("lora_te2_");
  const bool context = name.ends_with("_attn2_to_k") || name.ends_with("_attn2_to_v");
  const bool wide = n.parsed.part == Part::down && n.info->shape.size() == 2 && n.info->shape[1] == 2048;
  return name.find("_transformer_blocks_1_") != std::string::npos || (context && wide);
}

std::vector<float> numbers(const TensorInfo& info) {
  std::vector<float> values(static_cast<std::size_t>(info.numel()));
  read_as_float(info, values);
  return values;
}

void check_shapes(const AdapterModule& m, const std::string& where) {
  const auto &down = m.down_shape, &up = m.up_shape;
  const auto matrix_or_conv = [](const std::vector<std::int64_t>& s) {
    return s.size() == 2 || s.size() == 4;
  };
  require<DataError>(matrix_or_conv(down) && matrix_or_conv(up), where,
                     ": lora_down and lora_up must have 2 or 4 ", "dimensions, not ", down.size(), " and ",
                     up.size());
  require<DataError>(down[0] == up[1], where, ": rank ", down[0], " of lora_down differs from rank ", up[1],
                     " of lora_up");
  require<DataError>(!m.down.empty() && !m.up.empty(), where, ": a dimension is 0");
  require<DataError>(up.size() == 2 || (up[2] == 1 && up[3] == 1), where,
                     ": lora_up of a convolution must be 1x1");
}

AdapterModule make_module(const std::string& name, const Pieces& p, const ConfiguredAlpha& configured,
                          const std::string& where) {
  require<DataError>(p.down != nullptr && p.up != nullptr, where, ": has no lora_",
                     p.down == nullptr ? "down" : "up");
  AdapterModule m{name, numbers(*p.down->info), numbers(*p.up->info), p.down->info->shape, p.up->info->shape,
                  0};
  check_shapes(m, where);
  if (p.alpha != nullptr) {
    require<DataError>(p.alpha->info->numel() == 1, where, ": alpha must be one number");
    m.alpha = numbers(*p.alpha->info)[0];
  } else {
    m.alpha = configured.of(p.down->parsed, m.rank()).value_or(0.0F);
  }
  require<DataError>(std::isfinite(m.alpha), where, ": alpha is not a finite number");
  if (m.alpha == 0) m.alpha = static_cast<float>(m.rank());
  return m;
}

}  // namespace

AdapterFile read_adapter(const TensorSource& source) {
  const std::vector<Named> named = parse_keys(source);
  const bool sdxl = std::any_of(named.begin(), named.end(), shows_sdxl);
  std::map<std::string, Pieces> modules;
  for (const Named& n : named) {
    Pieces& p = modules[adapter_detail::kohya_name(n.parsed, sdxl)];
    const Named*& slot = n.parsed.part == Part::down ? p.down : n.parsed.part == Part::up ? p.up : p.alpha;
    require<DataError>(slot == nullptr, source.describe(), ": \"", *n.key, "\" and \"",
                       slot ? *slot->key : "", "\" are the same part of one module");
    slot = &n;
  }
  const ConfiguredAlpha configured(source.metadata(), source.describe());
  AdapterFile file;
  file.metadata = source.metadata();
  for (const auto& [name, pieces] : modules)
    file.modules.push_back(make_module(name, pieces, configured, source.describe() + ": module " + name));
  return file;
}

AdapterFile read_adapter(const std::filesystem::path& path) { return read_adapter(SafetensorsFile(path)); }

}  // namespace rankine
