// The safetensors reader and writer against the reference's published vectors and rules.
#include "io/formats/safetensors.h"

#include <cmath>

#include "engine/core/error.h"
#include "io/files/sha256.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

using test::safetensors_bytes;
using test::TemporaryFolder;

SafetensorsHeader parse(const std::string& file) { return parse_safetensors(test::as_bytes(file), "f"); }

std::string error_of(const std::string& header, const std::string& data = "") {
  return test::message_of<DataError>([&] { parse(safetensors_bytes(header, data)); });
}

std::vector<float> floats_of(const TensorInfo& info) {
  std::vector<float> out(static_cast<std::size_t>(info.numel()));
  read_as_float(info, out);
  return out;
}

TEST(SafetensorsRead, TensorsAndMetadata) {
  const std::string data("\0\0\x80\x3f\0\0\0\xc0\0\x3c", 10);
  const std::string file = safetensors_bytes(
      " {\"h\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[8,10]},\"__metadata__\":{\"a\":\"1\","
      "\"\\u00e9\":\"\"},"
      "\"e\":{\"shape\":[0,7],\"data_offsets\":[8,8],\"dtype\":\"I64\",\"new\":[1,{\"x\":[null]}]},"
      "\"w\":{\"data_offsets\":[0,8],\"dtype\":\"F32\",\"shape\":[2,1]}}\n  ",
      data);
  const auto header = parse(file);
  ASSERT_EQ(header.tensors.size(), 3U);
  EXPECT_EQ(header.tensors.at("w").shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(floats_of(header.tensors.at("w")), (std::vector<float>{1, -2}));
  EXPECT_EQ(floats_of(header.tensors.at("h")), std::vector<float>{1});
  EXPECT_EQ(header.tensors.at("e").numel(), 0);
  EXPECT_EQ(header.metadata, (MetadataTable{{"a", "1"}, {"é", ""}}));
  EXPECT_EQ(header.data_begin, file.size() - data.size());
}

TEST(SafetensorsRead, TypesThatAreNotDecodedAreListed) {
  const auto header =
      parse(safetensors_bytes(R"({"x":{"dtype":"F4","shape":[2,2],"data_offsets":[0,2]}})", "ab"));
  EXPECT_EQ(header.tensors.at("x").dtype, FileDType::other);
  float out[4];
  EXPECT_THROW(read_as_float(header.tensors.at("x"), out), DataError);
}

TEST(SafetensorsRead, HeaderLength) {
  EXPECT_THROW(parse(""), DataError);
  EXPECT_THROW(parse(std::string(7, '\0')), DataError);
  EXPECT_THROW(parse(std::string(8, '\0')), DataError);
  const std::string huge = "\x01\xe1\xf5\x05" + std::string(4, '\0') + "{}";
  EXPECT_NE(test::message_of<DataError>([&] { parse(huge); }).find("100000000"), std::string::npos);
  const std::string short_file = safetensors_bytes("{}").substr(0, 9);
  EXPECT_EQ(test::message_of<DataError>([&] { parse(short_file); }),
            "f: byte 0: header length 2 does not fit the file of 9 bytes");
}

TEST(SafetensorsRead, SaysWhatTheFileIsInstead) {
  const auto message = [](const std::string& file) {
    return test::message_of<DataError>([&] { parse(file + std::string(200, ' ')); });
  };
  EXPECT_NE(message("version https://git-lfs.github.com/spec/v1\n").find("git lfs pull"), std::string::npos);
  EXPECT_NE(message("PK\x03\x04").find("zip"), std::string::npos);
  EXPECT_NE(message("<!DOCTYPE html>").find("web page"), std::string::npos);
  EXPECT_NE(message("GGUF\x03").find("GGUF"), std::string::npos);
}

TEST(SafetensorsRead, JsonForm) {
  for (const char* header : {"",
                             " ",
                             "[]",
                             "null",
                             "{",
                             "{}}",
                             "{} x",
                             "{\"a\":1}",
                             "{\"a\":[]}",
                             "{\"a\":{}}",
                             "//x\n{}",
                             "\xEF\xBB\xBF{}",
                             "{\"\xff\":{}}",
                             "{\"__metadata__\":{\"a\":1}}",
                             "{\"__metadata__\":{\"a\":{}}}",
                             "{\"__metadata__\":{\"a\":[]}}",
                             "{\"__metadata__\":null}",
                             "{\"__metadata__\":\"x\"}",
                             "{'a':{}}",
                             "{\"a\":{},}"})
    EXPECT_THROW(parse(safetensors_bytes(header)), DataError) << header;
  EXPECT_NE(error_of(std::string("{}\0\0", 4)).find("byte 10: a NUL"), std::string::npos);
  EXPECT_NE(error_of("{\"a\" 1}").find("f: byte 13: the header is not valid JSON"), std::string::npos)
      << error_of("{\"a\" 1}");
  EXPECT_TRUE(parse(safetensors_bytes("{}")).tensors.empty());
  EXPECT_TRUE(parse(safetensors_bytes("{\"__metadata__\":{}}")).tensors.empty());
}

TEST(SafetensorsRead, DuplicateKeys) {
  const std::string t = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  EXPECT_EQ(error_of("{\"a\":" + t + ",\"a\":" + t + "}"), "f: \"a\": appears twice");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"),
            "f: \"a\" \"dtype\": appears twice");
  EXPECT_EQ(error_of(R"({"__metadata__":{"k":"1","k":"2"}})"), "f: \"__metadata__\" \"k\": appears twice");
  EXPECT_EQ(error_of(R"({"__metadata__":{},"__metadata__":{}})"), "f: \"__metadata__\": appears twice");
}

TEST(SafetensorsRead, Fields) {
  EXPECT_EQ(error_of(R"({"a":{"shape":[0],"data_offsets":[0,0]}})"), "f: \"a\": has no \"dtype\"");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","data_offsets":[0,0]}})"), "f: \"a\": has no \"shape\"");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[0]}})"), "f: \"a\": has no \"data_offsets\"");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"F31","shape":[0],"data_offsets":[0,0]}})"),
            "f: tensor \"a\": unknown dtype \"F31\"");
  EXPECT_EQ(error_of(R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})"),
            "f: \"a\" \"data_offsets\": must be two numbers, begin and end; got 1");
  for (const char* number :
       {"-1", "-0", "1.0", "1e2", "18446744073709551616", "\"1\"", "null", "true", "[1]", "{}"})
    EXPECT_THROW(
        parse(safetensors_bytes(
            std::string(R"({"a":{"dtype":"U8","shape":[)") + number + R"(],"data_offsets":[0,1]}})", "x")),
        DataError)
        << number;
  for (const char* value : {"1", "null", "{}", "\"x\""}) {
    EXPECT_THROW(parse(safetensors_bytes(std::string(R"({"a":{"dtype":"U8","data_offsets":[0,0],"shape":)") +
                                         value + "}}")),
                 DataError);
    EXPECT_THROW(parse(safetensors_bytes(std::string(R"({"a":{"shape":[0],"data_offsets":[0,0],"dtype":[)") +
                                         value + "]}}")),
                 DataError);
  }
}

TEST(SafetensorsRead, NestingIsBounded) {
  const std::string deep = std::string(100'000, '[');
  EXPECT_NE(error_of("{\"a\":{\"x\":" + deep).find("deep"), std::string::npos);
  EXPECT_THROW(parse(safetensors_bytes(deep)), DataError);
}

TEST(SafetensorsRead, SizesAndCoverage) {
  const auto tensor = [](const std::string& name, const std::string& shape, const std::string& offsets) {
    return "\"" + name + R"(":{"dtype":"F32","shape":)" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const std::string data(16, 'x');
  const auto message = [&](const std::string& body) { return error_of("{" + body + "}", data); };
  EXPECT_NE(message(tensor("a", "[3]", "[0,16]")).find("needs 12 bytes, data_offsets give 16"),
            std::string::npos);
  EXPECT_NE(message(tensor("a", "[4]", "[4,20]")).find("cut short"), std::string::npos);
  EXPECT_NE(message(tensor("a", "[4]", "[16,0]")).find("do not lie"), std::string::npos);
  EXPECT_NE(message(tensor("a", "[3]", "[0,12]")).find("4 bytes that belong to no tensor"),
            std::string::npos);
  EXPECT_NE(message(tensor("a", "[3]", "[4,16]")).find("a hole before tensor \"a\""), std::string::npos);
  EXPECT_NE(message(tensor("a", "[3]", "[0,12]") + "," + tensor("b", "[2]", "[8,16]"))
                .find("an overlap with tensor \"b\""),
            std::string::npos);
  EXPECT_NE(message(tensor("a", "[4]", "[0,16]") + "," + tensor("b", "[4]", "[0,16]")).find("overlap"),
            std::string::npos);
  EXPECT_NE(message(tensor("a", "[4]", "[0,16]") + "," + tensor("b", "[0]", "[8,8]")).find("overlap"),
            std::string::npos);
  EXPECT_NE(message(tensor("a", "[4611686018427387904,4]", "[0,16]")).find("overflows"), std::string::npos);
  EXPECT_NE(message(tensor("a", "[18446744073709551615]", "[0,16]")).find("overflows"), std::string::npos);
  EXPECT_THROW(parse(safetensors_bytes(R"({"x":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}})", "a")),
               DataError);
}

TEST(SafetensorsRead, FileAndNearestName) {
  const TemporaryFolder folder;
  const auto path = folder.file(
      "m.safetensors",
      safetensors_bytes(R"({"conv.weight":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "\x07"));
  const SafetensorsFile file(path);
  EXPECT_EQ(file.describe(), path.string());
  EXPECT_EQ(file.payload().size(), 1U);
  EXPECT_TRUE(file.contains("conv.weight"));
  EXPECT_EQ(file.find("conv"), nullptr);
  const std::string message = test::message_of<DataError>([&] { file.at("conv.wieght"); });
  EXPECT_NE(message.find(path.string()), std::string::npos);
  EXPECT_NE(message.find("nearest name is 'conv.weight'"), std::string::npos);
  EXPECT_THROW(SafetensorsFile(folder.path() / "missing"), IoError);
}

TEST(ReadAsFloat, EveryType) {
  struct Case {
    const char* dtype;
    std::string bytes;
    float value;
  };
  const std::vector<Case> cases = {{"F64", std::string("\0\0\0\0\0\0\xf8\xbf", 8), -1.5F},
                                   {"F32", std::string("\0\0\xc0\xbf", 4), -1.5F},
                                   {"F16", std::string("\0\xbe", 2), -1.5F},
                                   {"BF16", std::string("\xc0\xbf", 2), -1.5F},
                                   {"F8_E4M3", "\xbc", -1.5F},
                                   {"F8_E4M3", "\x7e", 448.0F},
                                   {"F8_E4M3", "\x01", 0x1p-9F},
                                   {"F8_E5M2", "\xbe", -1.5F},
                                   {"F8_E5M2", "\x7b", 57344.0F},
                                   {"I64", std::string(8, '\xff'), -1.0F},
                                   {"I32", std::string(4, '\xff'), -1.0F},
                                   {"I16", std::string(2, '\xff'), -1.0F},
                                   {"I8", "\xff", -1.0F},
                                   {"U64", std::string(8, '\xff'), 0x1p64F},
                                   {"U32", std::string(4, '\xff'), 0x1p32F},
                                   {"U16", std::string(2, '\xff'), 65535.0F},
                                   {"U8", "\xff", 255.0F},
                                   {"BOOL", "\x02", 1.0F}};
  for (const Case& c : cases) {
    const std::string size = std::to_string(c.bytes.size());
    const std::string file = safetensors_bytes(std::string("{\"x\":{\"dtype\":\"") + c.dtype +
                                                   "\",\"shape\":[1],\"data_offsets\":[0," + size + "]}}",
                                               c.bytes);
    const std::string shifted = "." + file;  // at an odd address
    const auto header = parse_safetensors(test::as_bytes(shifted).subspan(1), "f");
    EXPECT_EQ(floats_of(header.tensors.at("x"))[0], c.value) << c.dtype;
    EXPECT_EQ(name_of(header.tensors.at("x").dtype), c.dtype);
  }
  const std::string nan_file =
      safetensors_bytes(R"({"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "\xff");
  EXPECT_TRUE(std::isnan(floats_of(parse(nan_file).tensors.at("x"))[0]));
  float two[2];
  EXPECT_THROW(read_as_float(parse(nan_file).tensors.at("x"), two), DataError);
}

std::string written(std::vector<TensorToWrite> tensors, const MetadataTable& metadata) {
  const TemporaryFolder folder;
  write_safetensors(folder.path() / "w", std::move(tensors), metadata);
  return test::read_all(folder.path() / "w");
}

// The vectors of the reference implementation's own unit tests.
TEST(SafetensorsWrite, ReferenceVectors) {
  const std::vector<float> zeros(6);
  const auto one = [&](const std::string& name, std::vector<std::int64_t> shape) {
    return std::vector<TensorToWrite>{tensor_to_write(name, std::move(shape), zeros, FileDType::f32)};
  };
  EXPECT_EQ(written(one("attn.0", {1, 2, 3}), {}),
            safetensors_bytes(R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})",
                              std::string(24, '\0')));
  EXPECT_EQ(written(one("attn0", {1, 1, 2, 3}), {}),
            safetensors_bytes(R"({"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       )",
                              std::string(24, '\0')));
  EXPECT_EQ(written({}, {{"framework", "pt"}}),
            safetensors_bytes(R"({"__metadata__":{"framework":"pt"}}     )"));
  EXPECT_EQ(written({}, {}), safetensors_bytes("{}      "));
}

// Recorded from the reference writer (safetensors 0.8.0): order by alignment then name, escapes, offsets.
TEST(SafetensorsWrite, OrderAndEscapes) {
  const std::vector<float> x{1, 2};
  std::vector<TensorToWrite> tensors{tensor_to_write("b", {2}, x, FileDType::f16),
                                     tensor_to_write("a", {2}, x, FileDType::f16),
                                     tensor_to_write("z", {2}, x, FileDType::f32),
                                     tensor_to_write("q", {2}, x, FileDType::bf16),
                                     TensorToWrite{"u", FileDType::u8, {1}, {std::byte{9}}},
                                     TensorToWrite{"i", FileDType::i64, {}, std::vector<std::byte>(8)}};
  const MetadataTable metadata{{"k\"\\\n\x01", "tab\té/\x7f"}};
  EXPECT_EQ(written(tensors, metadata),
            safetensors_bytes(
                "{\"__metadata__\":{\"k\\\"\\\\\\n\\u0001\":\"tab\\té/\x7f\"},"
                R"("i":{"dtype":"I64","shape":[],"data_offsets":[0,8]},)"
                R"("z":{"dtype":"F32","shape":[2],"data_offsets":[8,16]},)"
                R"("q":{"dtype":"BF16","shape":[2],"data_offsets":[16,20]},)"
                R"("a":{"dtype":"F16","shape":[2],"data_offsets":[20,24]},)"
                R"("b":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},)"
                R"("u":{"dtype":"U8","shape":[1],"data_offsets":[28,29]}}    )",
                std::string(8, '\0') +
                    std::string("\0\0\x80\x3f\0\0\0\x40\x80\x3f\0\x40\0\x3c\0\x40\0\x3c\0\x40\x09", 21)));
}

TEST(SafetensorsWrite, RefusesWhatCannotBeRead) {
  const std::vector<float> x{1, 2};
  const auto t = tensor_to_write("t", {2}, x, FileDType::f32);
  EXPECT_THROW(written({t, t}, {}), DataError);
  EXPECT_THROW(written({tensor_to_write("t", {3}, x, FileDType::f32)}, {}), DataError);
  EXPECT_THROW(written({tensor_to_write("t", {-2}, x, FileDType::f32)}, {}), DataError);
  EXPECT_THROW(written({tensor_to_write("\xff", {2}, x, FileDType::f32)}, {}), DataError);
  EXPECT_THROW(written({tensor_to_write("__metadata__", {2}, x, FileDType::f32)}, {}), DataError);
  EXPECT_THROW(written({t}, {{"a", "\xff"}}), DataError);
  EXPECT_THROW(tensor_to_write("t", {2}, x, FileDType::u8), Error);
}

TEST(SafetensorsWrite, HashesOfTheFile) {
  std::vector<float> x(400'000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i);
  std::vector<TensorToWrite> tensors{tensor_to_write("a", {400'000}, x, FileDType::f32),
                                     tensor_to_write("b", {10}, std::span(x).first(10), FileDType::f16)};
  sort_for_writing(tensors);
  const MetadataTable ss{{"ss_steps", "10"}};
  const std::string file = written(tensors, ss);
  EXPECT_EQ(payload_sha256(tensors), sha256_hex(file.substr(parse(file).data_begin)));
  MetadataTable more = ss;
  more["format"] = "pt";
  EXPECT_EQ(legacy_hash(tensors, more), sha256_hex(file.substr(0x100000, 0x10000)).substr(0, 8));
  tensors.erase(tensors.begin());
  EXPECT_EQ(legacy_hash(tensors, ss), sha256_hex("").substr(0, 8));  // shorter than 1 MiB
}

}  // namespace
}  // namespace rankine
