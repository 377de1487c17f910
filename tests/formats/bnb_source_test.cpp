// Matrices quantised by bitsandbytes and THUDM: the wrapper hands out exactly what their rules say.
#include "io/formats/bnb_source.h"

#include <cmath>
#include <random>

#include "engine/core/error.h"
#include "engine/core/nf4.h"
#include "io/formats/safetensors.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

using test::message_of;

TensorToWrite raw(std::string name, FileDType dtype, std::vector<std::int64_t> shape, const void* data,
                  std::size_t bytes) {
  const auto* first = static_cast<const std::byte*>(data);
  return {std::move(name), dtype, std::move(shape), {first, first + bytes}};
}
template <class T>
TensorToWrite numbers(std::string name, FileDType dtype, const std::vector<T>& x) {
  return raw(std::move(name), dtype, {static_cast<std::int64_t>(x.size())}, x.data(), x.size() * sizeof(T));
}

struct Stored {
  std::vector<TensorToWrite> tensors;
  std::vector<float> values;  // what bitsandbytes makes of them, in its order of roundings
};

struct Kind {
  std::vector<std::int64_t> shape;
  bool nested = true;
  std::array<float, 16> table = kNf4Table;
  std::array<float, 256> map = kNf4ScaleMap;
};

Stored nf4(const std::string& name, const Kind& kind) {
  std::mt19937 random(7);
  std::size_t numel = 1;
  std::string shape;
  for (const std::int64_t extent : kind.shape) {
    numel *= static_cast<std::size_t>(extent);
    shape += join(shape.empty() ? "" : ", ", extent);
  }
  const std::size_t blocks = (numel + 63) / 64;
  std::vector<std::uint8_t> codes((numel + 1) / 2), scales(blocks);
  for (auto& c : codes) c = static_cast<std::uint8_t>(random());
  for (auto& s : scales) s = static_cast<std::uint8_t>(random());
  std::vector<float> nested((blocks + 255) / 256), absmax(blocks);
  for (auto& n : nested) n = 0.01F * static_cast<float>(1 + random() % 9);
  for (std::size_t b = 0; b < blocks; ++b) {
    const float scaled = kind.map[scales[b]] * nested[b / 256];
    absmax[b] = scaled + 0.0625F;
  }
  Stored stored;
  for (std::size_t i = 0; i < numel; ++i)
    stored.values.push_back(kind.table[i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15] * absmax[i / 64]);
  const std::string json =
      R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [)" + shape + "]" +
      (kind.nested ? R"(, "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.0625})"
                   : "}");
  auto& t = stored.tensors;
  t.push_back(
      raw(name, FileDType::u8, {static_cast<std::int64_t>(codes.size()), 1}, codes.data(), codes.size()));
  t.push_back(
      numbers(name + ".quant_map", FileDType::f32, std::vector<float>(kind.table.begin(), kind.table.end())));
  t.push_back(raw(name + ".quant_state.bitsandbytes__nf4", FileDType::u8,
                  {static_cast<std::int64_t>(json.size())}, json.data(), json.size()));
  if (kind.nested) {
    t.push_back(numbers(name + ".absmax", FileDType::u8, scales));
    t.push_back(numbers(name + ".nested_absmax", FileDType::f32, nested));
    t.push_back(numbers(name + ".nested_quant_map", FileDType::f32,
                        std::vector<float>(kind.map.begin(), kind.map.end())));
  } else {
    t.push_back(numbers(name + ".absmax", FileDType::f32, absmax));
  }
  return stored;
}

class BnbSource : public testing::Test {
 protected:
  std::shared_ptr<const TensorSource> open(std::vector<TensorToWrite> tensors, int bits = 0) {
    const std::vector<float> bias = {1, 2};
    tensors.push_back(numbers("X.bias", FileDType::f32, bias));
    write_safetensors(folder_.path() / "m.safetensors", std::move(tensors), {{"format", "pt"}});
    return dequantized(std::make_shared<const SafetensorsFile>(folder_.path() / "m.safetensors"), bits);
  }
  void expect_exact(const Kind& kind, FileDType dtype) {
    const Stored stored = nf4("X.weight", kind);
    const auto source = open(stored.tensors);
    EXPECT_EQ(source->tensors().size(), 2U);
    EXPECT_EQ(source->at("X.weight").dtype, dtype);
    EXPECT_EQ(source->at("X.weight").shape, kind.shape);
    EXPECT_TRUE(source->at("X.weight").bytes.empty());
    EXPECT_EQ(read_as_float(*source, "X.weight"), stored.values);
    EXPECT_EQ(read_as_float(*source, "X.bias"), (std::vector<float>{1, 2}));
    EXPECT_EQ(source->metadata().at("format"), "pt");
  }
  // The reason why a file with one tensor changed is refused.
  std::string refusal(const std::string& name, const std::function<void(TensorToWrite&)>& change) {
    Stored stored = nf4("X.weight", {{2, 256}});
    for (TensorToWrite& t : stored.tensors)
      if (t.name == name) change(t);
    return message_of<DataError>([&] { open(stored.tensors); });
  }
  test::TemporaryFolder folder_;
};

TEST_F(BnbSource, DoubleQuantisation) {
  expect_exact({{3, 256}}, FileDType::nf4_dq);
  expect_exact({{70, 512}}, FileDType::nf4_dq);  // more than one nested block: 35840 numbers
}

TEST_F(BnbSource, OneQuantisation) { expect_exact({{5, 320}, false}, FileDType::nf4); }

TEST_F(BnbSource, RowsThatAreNotWholeBlocks) {
  expect_exact({{6, 192}}, FileDType::nf4);
  expect_exact({{5, 100}}, FileDType::f32);  // 500 numbers, the last block 52
  expect_exact({{3, 33}, false}, FileDType::f32);
}

TEST_F(BnbSource, OtherTables) {
  Kind last_bits{{2, 256}};  // as PyTorch before 2.0 computes it
  last_bits.map[200] = std::nextafter(last_bits.map[200], 2.0F);
  expect_exact(last_bits, FileDType::nf4);
  Kind other{{2, 256}};
  other.table[3] = -0.4F;
  expect_exact(other, FileDType::f32);
}

TEST_F(BnbSource, PlainFilesAreNotWrapped) {
  const auto source = open({});
  EXPECT_NE(dynamic_cast<const SafetensorsFile*>(source.get()), nullptr);
}

TEST_F(BnbSource, Refusals) {
  const std::string state = "X.weight.quant_state.bitsandbytes__nf4";
  const auto json = [](const std::string& text) {
    return [text](TensorToWrite& t) {
      const auto bytes = test::as_bytes(text);
      t.bytes.assign(bytes.begin(), bytes.end());
      t.shape = {static_cast<std::int64_t>(text.size())};
    };
  };
  const auto rename = [](TensorToWrite& t) { t.name = "Y"; };
  const auto shorten = [](TensorToWrite& t) { t.bytes.resize(t.bytes.size() - 4), t.shape[0] -= 1; };
  EXPECT_NE(refusal(state, json("[1]")).find("no JSON object"), std::string::npos);
  EXPECT_NE(refusal(state, json("{\"blocksize\":64")).find("no JSON object"), std::string::npos);
  EXPECT_NE(refusal(state, json(R"({"blocksize":128,"shape":[2,256]})")).find("block sizes"),
            std::string::npos);
  EXPECT_NE(refusal(state, json(R"({"blocksize":64})")).find("no \"shape\""), std::string::npos);
  EXPECT_NE(refusal(state, json(R"({"blocksize":64,"shape":[-2,256]})")).find("\"shape\""),
            std::string::npos);
  EXPECT_NE(refusal(state, json(R"({"blocksize":64,"shape":[4294967296,4294967296]})")).find("\"shape\""),
            std::string::npos);
  EXPECT_NE(refusal(state, json(R"({"blocksize":64,"shape":[2,512]})")).find("expected 512 of U8"),
            std::string::npos);
  EXPECT_NE(
      refusal(state, json(R"({"blocksize":64,"shape":[2,256],"nested_offset":"x"})")).find("nested_offset"),
      std::string::npos);
  EXPECT_NE(refusal("X.weight.nested_absmax", shorten).find("expected 1 of F32"), std::string::npos);
  EXPECT_NE(refusal("X.weight.quant_map", shorten).find("expected 16 of F32"), std::string::npos);
  EXPECT_NE(refusal("X.weight.absmax", rename).find("no tensor 'X.weight.absmax'"), std::string::npos);
  EXPECT_NE(refusal("X.weight", rename).find("no tensor 'X.weight'"), std::string::npos);
  EXPECT_NE(
      refusal(state, [](TensorToWrite& t) { t.name = "X.weight.quant_state.bitsandbytes__fp4"; }).find("FP4"),
      std::string::npos);
}

TEST_F(BnbSource, Thudm) {
  const std::vector<std::int8_t> eight = {127, -127, 3, 0, -128, 5};
  const std::vector<std::uint8_t> four = {0x7F, 0x80, 0x91};
  const std::vector<std::uint16_t> scale = {to_half(0.5F).bits, to_half(2.0F).bits};
  const auto scales = raw("X.weight_scale", FileDType::f16, {2}, scale.data(), 4);
  const auto wide = raw("X.weight", FileDType::i8, {2, 3}, eight.data(), 6);
  const auto source = open({wide, scales}, 8);
  EXPECT_EQ(source->tensors().size(), 2U);
  EXPECT_EQ(source->at("X.weight").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(read_as_float(*source, "X.weight"), (std::vector<float>{63.5F, -63.5F, 1.5F, 0, -256, 10}));

  const std::vector<std::uint8_t> packed = {0x7F, 0x80, 0x91, 0x0A};
  const auto narrow = raw("X.weight", FileDType::i8, {2, 2}, packed.data(), 4);
  const auto halves = open({narrow, scales}, 4);
  EXPECT_EQ(halves->at("X.weight").shape, (std::vector<std::int64_t>{2, 4}));
  EXPECT_EQ(read_as_float(*halves, "X.weight"), (std::vector<float>{3.5F, -0.5F, -4.0F, 0, -14, 2, 0, -12}));

  EXPECT_NE(message_of<DataError>([&] { open({wide, scales}); }).find("quantization_bit"), std::string::npos);
  const auto short_scale = raw("X.weight_scale", FileDType::f16, {1}, scale.data(), 2);
  EXPECT_NE(message_of<DataError>([&] {
              open({wide, short_scale}, 8);
            }).find("one scale for each row"),
            std::string::npos);
}

}  // namespace
}  // namespace rankine
