#include "io/dataset/dataset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "engine/core/error.h"
#include "io/dataset/folder_scan.h"
#include "test_images.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using namespace testing_images;

void write_text(const fs::path& path, std::string_view text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << text;
}

void write_picture(const fs::path& path, int width = 8, int height = 6) {
  fs::create_directories(path.parent_path());
  // The area makes the bytes of differently sized pictures differ; same sizes are the same picture.
  write_file(path, path.extension() == ".png" ? make_png(gradient(width, height))
                                              : make_jpeg(gradient(width, height)));
}

Dataset scan(const fs::path& folder) {
  DatasetOptions options;
  options.data_dir = folder;
  return scan_dataset(options);
}

std::vector<std::string> ids(const Dataset& dataset) {
  std::vector<std::string> out;
  for (const Sample& sample : dataset.samples) out.push_back(sample.id);
  return out;
}

std::vector<std::string> texts(const Dataset& dataset, Severity severity) {
  std::vector<std::string> out;
  for (const Problem& problem : dataset.problems) {
    if (problem.severity == severity) out.push_back(problem.to_string());
  }
  return out;
}

bool has_text(const std::vector<std::string>& texts, const std::string& part) {
  return std::any_of(texts.begin(), texts.end(),
                     [&](const std::string& t) { return t.find(part) != std::string::npos; });
}

using Strings = std::vector<std::string>;

TEST(ScanDataset, FlatFolderWithCaptionFiles) {
  const fs::path folder = fresh_folder("flat");
  for (const char* name : {"b.png", "a.JPG", "c.png", "d.png", ".hidden.png"}) write_picture(folder / name);
  write_text(folder / "a.txt", "\xef\xbb\xbf  first line \r\nsecond\n");
  write_text(folder / "b.caption", "from caption");
  write_text(folder / "c.txt", "\n");
  write_text(folder / "c.caption", "not read, because c.txt is there");
  write_text(folder / "e.gif", "GIF89a");
  const Dataset dataset = scan(folder);
  EXPECT_EQ(ids(dataset), (Strings{"a.JPG", "b.png", "c.png", "d.png"}));
  EXPECT_EQ(dataset.samples[0].caption, "first line");
  EXPECT_EQ(dataset.samples[1].caption, "from caption");
  EXPECT_EQ(dataset.samples[2].caption, "");
  EXPECT_TRUE(fs::equivalent(dataset.samples[1].image, folder / "b.png"));
  EXPECT_EQ(texts(dataset, Severity::error), Strings{});
  const Strings warnings = texts(dataset, Severity::warning);
  EXPECT_TRUE(has_text(warnings, "a.txt:2: only the first line"));
  EXPECT_TRUE(has_text(warnings, "c.png: its caption file has an empty first line"));
  EXPECT_TRUE(has_text(warnings, "'c.png' has no caption"));
  EXPECT_TRUE(has_text(warnings, "'d.png' has no caption"));
  EXPECT_TRUE(has_text(warnings, "e.gif: is not used"));
  EXPECT_EQ(warnings.size(), 5U);
}

TEST(ScanDataset, CaptionFileOfAnotherEncodingIsAnErrorWithItsLine) {
  const fs::path folder = fresh_folder("gbk");
  write_picture(folder / "a.png");
  write_picture(folder / "b.png", 9);
  write_text(folder / "a.txt", "ok\n\xb0\xa1");
  const Dataset dataset = scan(folder);
  EXPECT_EQ(ids(dataset), Strings{"b.png"});
  const Strings errors = texts(dataset, Severity::error);
  ASSERT_EQ(errors.size(), 1U);
  EXPECT_TRUE(has_text(errors, "a.txt:2: is not valid UTF-8")) << errors[0];
}

TEST(ScanDataset, DefaultCaptionAndOwnExtension) {
  const fs::path folder = fresh_folder("default_caption");
  write_picture(folder / "a.png");
  write_picture(folder / "b.png");
  write_text(folder / "a.tags", "own");
  DatasetOptions options;
  options.data_dir = folder;
  options.default_caption = "a photo of sks";
  options.caption_extension = ".tags";
  const Dataset dataset = scan_dataset(options);
  ASSERT_EQ(dataset.samples.size(), 2U);
  EXPECT_EQ(dataset.samples[0].caption, "own");
  EXPECT_EQ(dataset.samples[1].caption, "a photo of sks");
  EXPECT_TRUE(dataset.problems.empty());
}

TEST(ScanDataset, RepeatFolders) {
  const fs::path folder = fresh_folder("repeats");
  write_picture(folder / "10_cat girl" / "x.png");
  write_picture(folder / "10_cat girl" / "y.png");
  write_text(folder / "10_cat girl" / "y.txt", "a cat, sitting");
  write_picture(folder / "3_dog" / "x.png");
  write_picture(folder / "0_off" / "x.png");
  write_picture(folder / "other" / "x.png");
  write_picture(folder / "loose.png");
  const Dataset dataset = scan(folder);
  EXPECT_EQ(ids(dataset), (Strings{"10_cat girl/x.png", "10_cat girl/y.png", "3_dog/x.png"}));
  EXPECT_EQ(dataset.samples[0].caption, "cat girl");
  EXPECT_EQ(dataset.samples[0].repeats, 10);
  EXPECT_EQ(dataset.samples[1].caption, "a cat, sitting");
  EXPECT_EQ(dataset.samples[2].repeats, 3);
  const Strings warnings = texts(dataset, Severity::warning);
  EXPECT_TRUE(has_text(warnings, "other: is not used"));
  EXPECT_TRUE(has_text(warnings, "0_off: has 0 repeats"));
  EXPECT_TRUE(has_text(warnings, "pictures beside the N_name folders that are not used (1): loose.png"));
}

TEST(ScanDataset, RepeatFolderNames) {
  EXPECT_EQ(parse_repeat_folder("12_a_b")->name, "a_b");
  EXPECT_EQ(parse_repeat_folder("12_a_b")->repeats, 12);
  EXPECT_EQ(parse_repeat_folder("5_")->name, "");
  for (const char* name : {"cat", "12", "_x", "12-x", "x12_y", "999999_x", "99999999999_x"}) {
    EXPECT_FALSE(parse_repeat_folder(name)) << name;
  }
}

TEST(ScanDataset, MetadataCsvInTheFolder) {
  const fs::path folder = fresh_folder("metadata_csv");
  for (const char* name : {"a.png", "b.png", "unlisted.png", "sub/c.jpg"}) write_picture(folder / name);
  write_text(folder / "a.txt", "not used");
  write_text(folder / "metadata.csv",
             "file_name,text\nsub\\c.jpg,three\nb,two\n./a.png,one\nB.PNG,x\nnone.png,x\n../out.png,x\n/etc/"
             "x.png,x\n"
             "a.png,one\na.png,other\n,x\n");
  write_text(folder / "metadata.jsonl", "{}");
  const Dataset dataset = scan(folder);
  EXPECT_EQ(ids(dataset), (Strings{"a.png", "b.png", "sub/c.jpg"}));
  EXPECT_EQ(dataset.samples[0].caption, "one");
  EXPECT_EQ(dataset.samples[1].caption, "two");
  EXPECT_EQ(dataset.samples[2].caption, "three");
  const Strings errors = texts(dataset, Severity::error), warnings = texts(dataset, Severity::warning);
  EXPECT_EQ(errors.size(), 6U);
  EXPECT_TRUE(has_text(errors, "metadata.csv:5: there is no picture 'B.PNG'; did you mean 'b.png'?"));
  EXPECT_TRUE(has_text(errors, "metadata.csv:6: there is no picture 'none.png' in"));
  EXPECT_TRUE(has_text(errors, "metadata.csv:7: "));
  EXPECT_TRUE(has_text(errors, "metadata.csv:8: "));
  EXPECT_TRUE(has_text(errors, "metadata.csv:10: 'a.png' has another caption on line 4"));
  EXPECT_TRUE(has_text(errors, "metadata.csv:11: no picture is named"));
  EXPECT_TRUE(has_text(warnings, "metadata.csv:9: 'a.png' is a duplicate of line 4"));
  EXPECT_TRUE(
      has_text(warnings, "pictures of the folder that are not listed and not used (1): unlisted.png"));
  EXPECT_TRUE(has_text(warnings, "metadata.jsonl: is not used"));
}

TEST(ScanDataset, ExplicitMetadataWinsAndMayLieBelowOrOutside) {
  const fs::path folder = fresh_folder("metadata_path");
  write_picture(folder / "sub" / "a.png");
  write_picture(folder / "b.png");
  write_text(folder / "metadata.csv", "file,text\nb.png,wrong\n");
  write_text(
      folder / "sub" / "m.jsonl",
      "{\"image\": \"a.png\", \"prompt\": \"beside\"}\n{\"image\": \"b.png\", \"prompt\": \"above\"}\n");
  const fs::path outside = fresh_folder("metadata_outside") / "list.tsv";
  write_text(outside, "image\ttext\nb.png\tseen\n");
  DatasetOptions options;
  options.data_dir = folder;
  options.metadata_path = folder / "sub" / "m.jsonl";
  Dataset dataset = scan_dataset(options);
  EXPECT_EQ(ids(dataset), (Strings{"b.png", "sub/a.png"}));
  EXPECT_EQ(dataset.samples[0].caption, "above");
  EXPECT_EQ(dataset.samples[1].caption, "beside");
  options.metadata_path = outside;
  dataset = scan_dataset(options);
  EXPECT_EQ(ids(dataset), Strings{"b.png"});
  options.metadata_path = folder / "none.csv";
  EXPECT_THROW(scan_dataset(options), IoError);
}

TEST(ScanDataset, LinksThatLeaveTheFolderAreErrors) {
  const fs::path outside = fresh_folder("link_target");
  write_picture(outside / "secret.png");
  const fs::path folder = fresh_folder("links");
  write_picture(folder / "a.png");
  fs::create_symlink(outside / "secret.png", folder / "b.png");
  fs::create_symlink(folder / "a.png", folder / "c.png");
  EXPECT_EQ(ids(scan(folder)), (Strings{"a.png", "c.png"}));
  EXPECT_TRUE(has_text(texts(scan(folder), Severity::error), "b.png"));
  write_text(folder / "metadata.csv", "file,text\nb.png,x\na.png,y\n");
  EXPECT_EQ(ids(scan(folder)), Strings{"a.png"});
  EXPECT_TRUE(has_text(texts(scan(folder), Severity::error), "metadata.csv:2: "));
}

TEST(ScanDataset, RegularisationFolder) {
  const fs::path folder = fresh_folder("train_side"), prior = fresh_folder("prior_side");
  write_picture(folder / "a.png");
  write_text(folder / "a.txt", "sks dog");
  write_picture(prior / "2_dog" / "a.png");
  write_picture(prior / "2_dog" / "b.png");
  DatasetOptions options;
  options.data_dir = folder;
  options.regularisation_dir = prior;
  const Dataset dataset = scan_dataset(options);
  EXPECT_EQ(ids(dataset), (Strings{"a.png", "regularisation:2_dog/a.png", "regularisation:2_dog/b.png"}));
  EXPECT_FALSE(dataset.samples[0].regularisation);
  EXPECT_TRUE(dataset.samples[1].regularisation);
  EXPECT_EQ(dataset.samples[1].caption, "dog");
}

TEST(ScanDataset, EmptyAndMissingFolders) {
  const fs::path folder = fresh_folder("empty");
  EXPECT_TRUE(has_text(texts(scan(folder), Severity::error), "holds no PNG, JPEG or WebP pictures"));
  write_picture(folder / "photos" / "a.png");
  EXPECT_TRUE(has_text(texts(scan(folder), Severity::error), "these folders in it do: photos"));
  EXPECT_THROW(scan(folder / "none"), IoError);
  EXPECT_THROW(scan(folder / "photos" / "a.png"), IoError);
  EXPECT_THROW(require_usable(scan(folder), OnBadData::skip), DataError);
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const Bytes bytes = read_file(entry.path());
    out[entry.path().string()] = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  return out;
}

TEST(CheckImages, ListsUnreadableOnesAndCopiesAndFillsSizes) {
  const fs::path folder = fresh_folder("check");
  write_picture(folder / "a.png", 8, 6);
  write_picture(folder / "b.png", 8, 6);
  write_picture(folder / "c.jpg", 20, 10);
  Bytes cut = make_png(gradient(30, 30));
  cut.resize(cut.size() - 20);
  write_file(folder / "d.png", cut);
  write_file(folder / "e.png", make_jpeg(gradient(5, 5)));
  const auto before = contents(folder);
  for (const int threads : {1, 2, 5}) {
    Dataset dataset = scan(folder);
    dataset.problems.clear();  // the missing captions
    check_images(dataset, {threads, true});
    EXPECT_EQ(ids(dataset), (Strings{"a.png", "b.png", "c.jpg"}));
    EXPECT_EQ(dataset.samples[2].size, (ImageSize{20, 10}));
    const Strings errors = texts(dataset, Severity::error), warnings = texts(dataset, Severity::warning);
    ASSERT_EQ(errors.size(), 2U);
    EXPECT_TRUE(has_text({errors[0]}, "d.png: damaged PNG")) << errors[0];
    EXPECT_TRUE(has_text({errors[1]}, "e.png: the extension says PNG but the bytes are JPEG")) << errors[1];
    ASSERT_EQ(warnings.size(), 1U);
    EXPECT_TRUE(has_text(warnings, "b.png: is the same picture, byte for byte, as a.png"));
    EXPECT_NO_THROW(require_usable(dataset, OnBadData::skip));
    try {
      require_usable(dataset, OnBadData::fail);
      FAIL() << "two errors";
    } catch (const DataError& error) {
      EXPECT_TRUE(has_text({error.what()}, "the dataset has 2 errors\n  ")) << error.what();
      EXPECT_TRUE(has_text({error.what()}, "d.png: damaged")) << error.what();
    }
  }
  EXPECT_EQ(contents(folder), before);
}

TEST(CheckImages, HeadersAloneGiveTheSizes) {
  const fs::path folder = fresh_folder("check_headers");
  write_picture(folder / "a.png", 8, 6);
  JpegSpec turned;
  turned.orientation = 6;
  write_file(folder / "b.jpg", make_jpeg(gradient(8, 6), turned));
  Dataset dataset = scan(folder);
  check_images(dataset, {2, false});
  EXPECT_EQ(dataset.samples[0].size, (ImageSize{8, 6}));
  EXPECT_EQ(dataset.samples[1].size, (ImageSize{6, 8}));
}

TEST(RequireUsable, ListsTwentyErrorsAndCountsTheRest) {
  Dataset dataset;
  dataset.samples.push_back({});
  for (int i = 0; i < 25; ++i)
    dataset.problems.push_back({Severity::error, "f" + std::to_string(i), 0, "bad"});
  try {
    require_usable(dataset, OnBadData::fail);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_TRUE(has_text({error.what()}, "f19: bad\n  and 5 more")) << error.what();
  }
  dataset.samples[0].regularisation = true;
  EXPECT_THROW(require_usable(dataset, OnBadData::skip), DataError);
}

TEST(RealFolder, DreamboothIsUsable) {
  const fs::path folder = shared_images() / "dreambooth" / "backpack_dog";
  if (!fs::exists(folder)) GTEST_SKIP() << "NOT RUN: no " << folder;
  DatasetOptions options;
  options.data_dir = folder;
  options.default_caption = "a photo of sks backpack";
  Dataset dataset = scan_dataset(options);
  check_images(dataset);
  EXPECT_NO_THROW(require_usable(dataset, OnBadData::fail));
  EXPECT_GE(dataset.samples.size(), 5U);
  for (const Sample& sample : dataset.samples) EXPECT_GT(sample.size.width, 0);
}

}  // namespace
}  // namespace rankine
