#include <gtest/gtest.h>
#include <png.h>

#include <cstring>
#include <map>
#include <stdexcept>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "io/image/encode.h"
#include "test_images.h"

namespace rankine {
namespace {

using namespace testing_images;

struct Source {
  const Bytes* bytes;
  std::size_t at;
};

void read_from(png_structp png, png_bytep out, png_size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  ASSERT_LE(source->at + count, source->bytes->size());
  std::memcpy(out, source->bytes->data() + source->at, count);
  source->at += count;
}

struct ReadText {
  std::string text;
  int compression;
};

std::map<std::string, ReadText> texts_of(const Bytes& bytes) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  Source source{&bytes, 0};
  png_set_read_fn(png, &source, read_from);
  png_read_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_textp list = nullptr;
  const int count = png_get_text(png, info, &list, nullptr);
  std::map<std::string, ReadText> out;
  for (int i = 0; i < count; ++i) {
    const std::size_t length = list[i].compression > 0 ? list[i].itxt_length : list[i].text_length;
    out[list[i].key] = {std::string(list[i].text, length), list[i].compression};
  }
  png_destroy_read_struct(&png, &info, nullptr);
  return out;
}

TEST(EncodePng, PixelsAndTextComeBack) {
  const Image image = gradient(21, 13);
  const std::vector<PngText> texts{
      {"parameters", "a cat\nSteps: 20, Seed: 1"}, {"Comment", "\xe7\x8c\xab"}, {"Empty", ""}};
  const Bytes bytes = encode_png(image, texts);
  EXPECT_EQ(max_difference(decode_image(bytes, "x.png"), image), 0);
  const auto read = texts_of(bytes);
  ASSERT_EQ(read.size(), 3U);
  EXPECT_EQ(read.at("parameters").text, texts[0].second);
  EXPECT_EQ(read.at("parameters").compression, PNG_TEXT_COMPRESSION_NONE);
  EXPECT_EQ(read.at("Comment").text, texts[1].second);
  EXPECT_EQ(read.at("Comment").compression, PNG_ITXT_COMPRESSION_NONE);
  EXPECT_EQ(encode_png(image, texts), bytes);
}

TEST(EncodePng, BadTextAndBadImagesAreRefused) {
  const Image image = gradient(2, 2);
  for (const std::string& key : {std::string(), std::string(80, 'a'), std::string(" a"), std::string("a  b"),
                                 std::string("\xc3\xa4"), std::string("a\nb")}) {
    EXPECT_THROW(encode_png(image, std::vector<PngText>{{key, "x"}}), DataError) << key;
  }
  EXPECT_THROW(encode_png(image, std::vector<PngText>{{"a", std::string("x\0y", 3)}}), DataError);
  Image wrong = image;
  wrong.rgb.pop_back();
  EXPECT_THROW(encode_png(wrong), std::invalid_argument);
  EXPECT_THROW(encode_png(Image()), std::invalid_argument);
}

TEST(WritePng, WritesAReadableFileAndReportsThePath) {
  const std::filesystem::path folder = fresh_folder("write_png");
  write_png(folder / "a.png", gradient(5, 6));
  EXPECT_EQ(max_difference(decode_image(folder / "a.png"), gradient(5, 6)), 0);
  EXPECT_THROW(write_png(folder / "none" / "a.png", gradient(5, 6)), IoError);
}

}  // namespace
}  // namespace rankine
