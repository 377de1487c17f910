#include "io/config/codec.h"
#include "io/config/echo.h"
#include "io/config/presets.h"

namespace rankine::config {
namespace {

std::string cell(std::string_view text) {  // '|' would end the cell
  std::string out;
  for (const char c : text) out += c == '|' ? std::string("\\|") : std::string(1, c);
  return out;
}

template <class S>
std::string row(const Field<S>& field, const std::string& prefix) {
  const FieldInfo& info = field.info;
  const Json value = field.value(S{});
  std::string standard = info.required ? "**required**" : "";
  if (standard.empty())
    standard = value.is_null() || value.is_object() ? std::string() : join("`", inline_yaml(value), "`");
  if (standard.empty() && !info.not_set.empty()) standard = "not set: " + std::string(info.not_set);
  std::string type = field.type;
  if (!field.allowed.empty()) type += ": " + field.allowed;
  if (!info.unit.empty()) type += join(" (", info.unit, ")");
  return join("| `", prefix, info.key, "` | ", cell(type), " | ", cell(standard), " | ", cell(info.doc),
              " |\n");
}

template <class S>
std::string rows(const std::string& prefix) {
  std::string out;
  for (const Field<S>& field : table_of<S>()) out += row(field, prefix);
  return out;
}

constexpr std::string_view kHead = "| key | value | default | meaning |\n|---|---|---|---|\n";

constexpr std::string_view kIntroduction = R"(# The run file

One YAML file says what to train, on what, and how. The smallest one:

```yaml
base_model: ./models/v1-5-pruned.safetensors
train_data_dir: ./data/my_style
output_dir: ./output/my_style_lora
```

- **Layers.** Defaults, then the preset, then the file, then `--set key=value` (nested keys with dots:
  `--set new_model.unet.num_heads=8`). The later layer wins. The values a run really had are in `config.yaml` of its
  folder, which is itself a run file.
- **Paths.** A relative path means: relative to the current working directory, not to the folder of the run file.
- **Errors.** Unknown keys, wrong types, values out of range, keys that stand twice and keys that conflict are errors.
  All of them are reported at once, each as `file:line:col: key: what is wrong, what is allowed, did you mean`.
- **Not set.** An optional key can be unset with an empty value, for example to undo a preset: `text_encoder_lr:`.
- **Limits.** 1 MiB, 32 levels, 50,000 values, 64 aliases, one document, UTF-8; no tags and no merge keys.
- **Secrets** such as access tokens never stand in this file.
- `rankine schema` prints a JSON Schema for editors.

This page is made from the same table as the parser; do not edit it by hand.
)";

std::string preset_section() {
  std::string out =
      "\n## Presets\n\nA preset is a run file of its own that stands below yours: `preset: sd15-style`. Its "
      "values:\n";
  for (const Preset& preset : presets())
    out += join("\n### ", preset.name, "\n\n", preset.doc, "\n\n```yaml\n", preset.yaml, "```\n");
  return out;
}

}  // namespace

std::string config_reference_markdown() {
  std::string out(kIntroduction);
  std::string section;
  for (const Field<RunConfig>& field : table_of<RunConfig>()) {
    if (field.section != section) {
      section = field.section;
      out += join("\n## ", section, "\n\n", kHead);
    }
    out += row(field, "");
    if (field.info.key == "new_model") {
      out += rows<NewUnet>("new_model.unet.") + rows<NewVae>("new_model.vae.") +
             rows<NewTextEncoder>("new_model.text_encoder.");
    }
    if (field.info.key == "sample_prompts") out += rows<SamplePrompt>("sample_prompts[].");
  }
  return out + preset_section();
}

}  // namespace rankine::config
