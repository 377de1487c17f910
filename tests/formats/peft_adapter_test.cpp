// PEFT folders: what is written is what comes back, and what cannot be understood is refused by name.
#include "io/formats/peft_adapter.h"

#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "io/formats/module_pattern.h"
#include "io/formats/safetensors.h"
#include "tests/formats/adapter_samples.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {
using namespace test;
using nlohmann::json;

const std::string kQ = "model.layers.0.self_attn.q_proj", kV = "model.layers.0.self_attn.v_proj",
                  kUp = "model.layers.10.mlp.up_proj";

PeftAdapter plain() {
  return peft_adapter({sample_module(kQ, 4, 2), sample_module(kV, 4, 2), sample_module(kUp, 4, 2)},
                      {.base_model = "some/model", .dropout = 0.1F});
}

TEST(PeftAdapter, ComesBackAsWritten) {
  const TemporaryFolder folder;
  for (const bool dora : {false, true}) {
    for (const bool rslora : {false, true}) {
      const PeftAdapter adapter =
          peft_adapter({sample_module(kQ, 4, 2, dora), sample_module(kUp, 4, 2, dora)},
                       {.base_model = "some/model", .dropout = 0.1F, .rank_stabilised = rslora});
      write_peft_adapter(folder.path() / "adapter", adapter, FileDType::f32);
      const PeftAdapter back = read_peft_adapter(folder.path() / "adapter");
      EXPECT_EQ(back.config.base_model, "some/model");
      EXPECT_EQ(back.config.rank, 4);
      EXPECT_EQ(back.config.alpha, rslora ? 4 : 8);
      EXPECT_EQ(back.config.dropout, 0.1F);
      EXPECT_EQ(back.config.dora, dora);
      EXPECT_EQ(back.config.rank_stabilised, rslora);
      EXPECT_EQ(back.config.target_modules, (std::vector<std::string>{"q_proj", "up_proj"}));
      ASSERT_EQ(back.modules.size(), 2U);
      for (std::size_t i = 0; i < 2; ++i) {
        EXPECT_EQ(back.modules[i].module, adapter.modules[i].module);
        EXPECT_EQ(back.modules[i].a, adapter.modules[i].a);
        EXPECT_EQ(back.modules[i].b, adapter.modules[i].b);
        EXPECT_EQ(back.modules[i].scale, 2);
        EXPECT_EQ(back.modules[i].magnitude, adapter.modules[i].magnitude);
      }
    }
  }
  EXPECT_EQ(folder.names(), std::vector<std::string>{"adapter"}) << "nothing temporary is left";
}

// The names and keys that PEFT itself writes.
TEST(PeftAdapter, HasPeftsLayout) {
  const TemporaryFolder folder;
  write_peft_adapter(folder.path() / "a", plain(), FileDType::f16);
  const SafetensorsFile file(folder.path() / "a" / "adapter_model.safetensors");
  EXPECT_EQ(file.metadata(), (MetadataTable{{"format", "pt"}}));
  EXPECT_EQ(file.tensors().size(), 6U);
  EXPECT_EQ(file.at("base_model.model." + kQ + ".lora_A.weight").shape, (std::vector<std::int64_t>{4, 8}));
  EXPECT_EQ(file.at("base_model.model." + kUp + ".lora_B.weight").shape, (std::vector<std::int64_t>{12, 4}));
  EXPECT_EQ(file.at("base_model.model." + kQ + ".lora_A.weight").dtype, FileDType::f16);
  EXPECT_EQ(read_all(folder.path() / "a" / "adapter_config.json"), R"({
  "alpha_pattern": {},
  "auto_mapping": null,
  "base_model_name_or_path": "some/model",
  "bias": "none",
  "fan_in_fan_out": false,
  "inference_mode": true,
  "init_lora_weights": true,
  "layers_pattern": null,
  "layers_to_transform": null,
  "lora_alpha": 8,
  "lora_dropout": 0.1,
  "modules_to_save": null,
  "peft_type": "LORA",
  "r": 4,
  "rank_pattern": {},
  "revision": null,
  "target_modules": [
    "q_proj",
    "up_proj",
    "v_proj"
  ],
  "task_type": "CAUSAL_LM",
  "use_dora": false,
  "use_rslora": false
})");
}

TEST(PeftAdapter, ModulesOfTheirOwnRankAndAlphaGetPatterns) {
  const TemporaryFolder folder;
  const PeftAdapter adapter = peft_adapter(
      {sample_module(kQ, 4, 2), sample_module(kV, 4, 2), sample_module(kUp, 2, 0.3F)}, {.base_model = "b"});
  EXPECT_EQ(adapter.config.rank, 4);
  EXPECT_EQ(adapter.config.rank_pattern, (std::vector<std::pair<std::string, int>>{{kUp, 2}}));
  write_peft_adapter(folder.path() / "a", adapter, FileDType::f32);
  const json config = json::parse(read_all(folder.path() / "a" / "adapter_config.json"));
  EXPECT_EQ(config["alpha_pattern"].dump(), "{\"" + kUp + "\":0.6}");
  const PeftAdapter back = read_peft_adapter(folder.path() / "a");
  EXPECT_EQ(back.modules[0].scale, 2);
  EXPECT_NEAR(back.modules[2].scale, 0.3, 1e-6);
  EXPECT_EQ(back.modules[2].rank(), 2);
}

TEST(PeftAdapter, TargetsNameNoModuleWithoutAnAdapter) {
  const PeftOptions options{.base_model = "b", .linears = {kQ, kV, kUp, "model.layers.1.self_attn.v_proj"}};
  EXPECT_EQ(peft_adapter({sample_module(kQ, 4, 2), sample_module(kV, 4, 2)}, options).config.target_modules,
            (std::vector<std::string>{kV, "q_proj"}));
}

TEST(PeftAdapter, AFoldersOtherFilesAreNeverLost) {
  const TemporaryFolder folder;
  const auto target = folder.path() / "a";
  write_peft_adapter(target, plain(), FileDType::f32);
  PeftAdapter changed = plain();
  changed.modules[0].a.values[0] = 7;
  write_peft_adapter(target, changed, FileDType::f32);
  EXPECT_EQ(read_peft_adapter(target).modules[0].a.values[0], 7) << "our own folder is replaced";
  std::ofstream(target / "README.md") << "mine";
  EXPECT_NE(
      message_of<DataError>([&] { write_peft_adapter(target, plain(), FileDType::f32); }).find("README.md"),
      std::string::npos);
  EXPECT_EQ(read_peft_adapter(target).modules[0].a.values[0], 7);
  EXPECT_EQ(read_all(target / "README.md"), "mine");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a"});
}

TEST(PeftAdapter, WritesNothingWrong) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::function<void(PeftAdapter&)>& change, const char* word,
                           FileDType dtype = FileDType::f32) {
    PeftAdapter adapter = plain();
    change(adapter);
    EXPECT_NE(
        message_of<DataError>([&] { write_peft_adapter(folder.path() / "a", adapter, dtype); }).find(word),
        std::string::npos)
        << word;
  };
  refused([](PeftAdapter& a) { a.modules[1].b.values[3] = NAN; }, "finite");
  refused([](PeftAdapter& a) { a.modules[1].b.values[3] = 1e5F; }, "finite in F16", FileDType::f16);
  refused([](PeftAdapter& a) { a.modules[1].b.rows = 11; }, "has 48 numbers");
  refused([](PeftAdapter& a) { a.modules[1].scale = 3; }, "scale");
  refused([](PeftAdapter& a) { a.modules[1].module = kQ; }, "twice");
  refused([](PeftAdapter& a) { a.modules[1] = sample_module(kV, 2, 2); }, "rank");
  refused([](PeftAdapter& a) { a.config.dora = true; }, "magnitude");
  refused([](PeftAdapter& a) { a.modules.clear(); }, "no adapted module");
  refused(
      [](PeftAdapter& a) {
        for (AdapterWeights& m : a.modules) std::fill(m.b.values.begin(), m.b.values.end(), 0.0F);
      },
      "changes nothing");
  EXPECT_TRUE(folder.names().empty());
  EXPECT_THROW(peft_adapter({sample_module(kQ, 4, 2, true), sample_module(kV, 4, 2)}, {}), DataError)
      << "use_dora is one switch for all";
}

// Folders of others: changes one key of the configuration, or one tensor.
class PeftFolder {
 public:
  explicit PeftFolder(const PeftAdapter& adapter) {
    write_peft_adapter(path(), adapter, FileDType::f32);
    config = json::parse(read_all(path() / "adapter_config.json"));
  }
  std::filesystem::path path() const { return folder_.path() / "a"; }
  void write() const { folder_.file("a/adapter_config.json", config.dump()); }
  void write_tensors(const std::vector<AdapterWeights>& modules,
                     const std::function<std::string(std::string)>& rename) const {
    std::vector<TensorToWrite> tensors;
    for (const AdapterWeights& m : modules) {
      const std::string start = "base_model.model." + m.module;
      tensors.push_back(tensor_to_write(rename(start + ".lora_A.weight"), {m.a.rows, m.a.cols}, m.a.values,
                                        FileDType::f32));
      tensors.push_back(tensor_to_write(rename(start + ".lora_B.weight"), {m.b.rows, m.b.cols}, m.b.values,
                                        FileDType::f32));
    }
    write_safetensors(path() / "adapter_model.safetensors", std::move(tensors), {});
  }
  std::string refusal() const {
    write();
    return message_of<DataError>([&] { read_peft_adapter(path()); });
  }
  json config;

 private:
  TemporaryFolder folder_;
};

TEST(PeftAdapter, ReadsPatternsAsPeftMatchesThem) {
  PeftFolder folder(plain());
  std::vector<AdapterWeights> modules{sample_module(kQ, 3, 1), sample_module(kV, 4, 1),
                                      sample_module(kUp, 2, 1)};
  folder.write_tensors(modules, [](std::string key) { return key; });
  folder.config["rank_pattern"] = {{"q_proj", 3}, {"layers\\.1\\d\\.mlp.*", 2}};
  folder.config["alpha_pattern"] = {{"self_attn.(q|k)_proj", 6}, {"proj", 100}, {"^layers.10.*", 100}};
  folder.write();
  const PeftAdapter back = read_peft_adapter(folder.path());
  EXPECT_EQ(back.modules[0].scale, 6.0F / 3) << back.modules[0].module;
  EXPECT_EQ(back.modules[1].scale, 8.0F / 4);
  EXPECT_EQ(back.modules[2].scale, 8.0F / 2);
  folder.config["rank_pattern"]["v_proj"] = 2;
  EXPECT_NE(folder.refusal().find("has rank 4, the configuration says 2"), std::string::npos);
  folder.config["rank_pattern"] = {{"q_proj{1,2}", 3}};
  EXPECT_NE(folder.refusal().find("rank_pattern: pattern \"q_proj{1,2}\""), std::string::npos);
}

TEST(PeftAdapter, ReadsOldKeysAndOtherContainers) {
  PeftFolder folder(plain());
  folder.write_tensors(plain().modules, [](std::string key) {
    return key.replace(key.rfind(".weight"), std::string::npos, ".default.weight");
  });
  EXPECT_EQ(read_peft_adapter(folder.path()).modules.size(), 3U);
  const auto weights = folder.path() / "adapter_model.safetensors",
             other = folder.path() / "adapter_model.bin";
  std::filesystem::rename(weights, other);
  EXPECT_NE(folder.refusal().find("adapter_model.bin"), std::string::npos);
  EXPECT_EQ(read_peft_adapter(folder.path(), SafetensorsFile(other)).modules.size(), 3U);
}

TEST(PeftAdapter, RefusesByNameWhatItCannotSay) {
  const std::vector<std::pair<json, const char*>> cases{
      {{{"peft_type", "LOHA"}}, "LOHA"},
      {{{"bias", "lora_only"}}, "lora_only"},
      {{{"modules_to_save", {"lm_head"}}}, "modules_to_save"},
      {{{"alora_invocation_tokens", {1, 2}}}, "alora_invocation_tokens"},
      {{{"use_qalora", true}}, "use_qalora"},
      {{{"layer_replication", {{0, 2}}}}, "layer_replication"},
      {{{"init_lora_weights", "pissa_niter_16"}}, "pissa_niter_16"},
      {{{"use_dora", true}}, "magnitude"},
      {{{"r", 5}}, "rank 4"},
      {{{"r", 4.5}}, "\"r\""},
      {{{"r", -4}}, "\"r\""},
      {{{"r", 1e30}}, "\"r\""},
      {{{"lora_alpha", "8"}}, "lora_alpha"},
      {{{"lora_alpha", 0}}, "scale"},
      {{{"target_modules", 7}}, "target_modules"},
      {{{"rank_pattern", {1}}}, "rank_pattern"}};
  for (const auto& [change, word] : cases) {
    PeftFolder folder(plain());
    folder.config.update(change);
    EXPECT_NE(folder.refusal().find(word), std::string::npos) << change << ": " << folder.refusal();
  }
  PeftFolder fine(plain());
  fine.config.update(json{{"modules_to_save", json::array()},
                          {"use_qalora", false},
                          {"init_lora_weights", "gaussian"},
                          {"eva_config", nullptr},
                          {"something_newer", 3}});
  fine.write();
  EXPECT_EQ(read_peft_adapter(fine.path()).modules.size(), 3U);
}

TEST(PeftAdapter, RefusesForeignTensors) {
  const std::vector<std::array<std::string, 3>> cases{
      {".lora_A.weight", ".lora_embedding_A", "lora_embedding_A"},
      {".lora_B.weight", ".lora_B.bias", "lora_B.bias"},
      {"base_model.model.", "model.", "expected base_model.model."},
      {kQ, "", "expected base_model.model."},
      {kQ + ".lora_A", kQ + "2.lora_A", "has no lora_A"}};
  for (const auto& [from, to, word] : cases) {
    PeftFolder folder(plain());
    folder.write_tensors({plain().modules[0]}, [&, from = from, to = to](std::string key) {
      const auto at = key.find(from);
      return at == std::string::npos ? key : key.replace(at, from.size(), to);
    });
    EXPECT_NE(folder.refusal().find(word), std::string::npos) << folder.refusal();
  }
}

TEST(PeftAdapter, RefusesTextThatIsNoConfiguration) {
  const TemporaryFolder folder;
  write_peft_adapter(folder.path() / "a", plain(), FileDType::f32);
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{\"r\":"), std::string("\xff\xfe{}"),
        std::string("{\"r\":") + std::string(100000, '[')}) {
    folder.file("a/adapter_config.json", text);
    EXPECT_NE(
        message_of<DataError>([&] { read_peft_adapter(folder.path() / "a"); }).find("adapter_config.json"),
        std::string::npos)
        << text.substr(0, 10);
  }
}

TEST(ModulePattern, MatchesWholeTailsOfPaths) {
  const auto matches = [](const char* pattern, const char* path) {
    return ModulePattern(pattern, "t").matches(path);
  };
  EXPECT_TRUE(matches("q_proj", "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(matches("q_proj", "q_proj"));
  EXPECT_FALSE(matches("proj", "model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(matches("q_proj", "a.q_proj.b"));
  EXPECT_TRUE(matches("self_attn.q_proj", "model.self_attn.q_proj"));
  EXPECT_TRUE(matches("self_attn.q_proj", "model.self_attn-q_proj")) << "a dot is any character";
  EXPECT_FALSE(matches("self_attn\\.q_proj", "model.self_attn-q_proj"));
  EXPECT_TRUE(matches("^model.*q_proj$", "model.a.q_proj"));
  EXPECT_FALSE(matches("^layers.*", "model.layers.0"));
  EXPECT_TRUE(matches("layers\\.[0-9]+\\.mlp\\.(?:up|down)_proj", "model.layers.12.mlp.down_proj"));
  EXPECT_FALSE(matches("layers\\.[^0-9]+\\.q", "model.layers.12.q"));
  EXPECT_TRUE(matches("(a|b)*c?", "x.abbac"));
  EXPECT_TRUE(matches("h.\\d.\\w+", "h.3.attn_1"));
  EXPECT_TRUE(matches("[]a-]+", "]-a"));
  EXPECT_FALSE(matches("", "a"));
  for (const char* bad :
       {"(", ")", "a{2}", "[a", "\\", "\\b", "(?=a)", "a**", "*", "a^", "a$b", "[b-a]", "[\\d"})
    EXPECT_THROW(ModulePattern(bad, "t"), DataError) << bad;
  EXPECT_THROW(ModulePattern(std::string(40, '(') + std::string(40, ')'), "t"), DataError);
  EXPECT_THROW(ModulePattern(std::string(3000, 'a'), "t"), DataError);
  // What makes backtracking matchers run for ages.
  EXPECT_FALSE(matches("(a*)*(a*)*(a|a)*b", std::string(300, 'a').c_str()));
}

}  // namespace
}  // namespace rankine
