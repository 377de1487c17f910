// TensorBoard event files: TFRecord framing around hand-encoded Event messages.
//
// Record: uint64 length, uint32 masked CRC-32C of the length, the data, uint32 masked CRC-32C of the data;
// all little endian. Event (protobuf): 1 double wall_time, 2 int64 step, 3 string file_version, 5 Summary, 7
// SessionLog. Summary: repeated 1 Value; Value: 1 string tag, 2 float simple_value, 4 Image; Image: 1 height,
// 2 width, 3 colorspace, 4 bytes png. SessionLog: 1 status (1: START).
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>
#include <vector>

#include "io/record/append_file.h"

namespace rankine {

class EventWriter {
 public:
  // Starts a new file in `folder`, which must exist. With resume_step > 0 the file tells TensorBoard to
  // forget what older files say about later steps. Throws IoError.
  EventWriter(const std::filesystem::path& folder, std::int64_t resume_step = 0);

  // Several scalars of one step. Tags group by '/': "train/loss".
  void add_scalars(std::int64_t step, const std::vector<std::pair<std::string_view, double>>& scalars);
  // `png` is a whole PNG file. Throws DataError when it is not.
  void add_image(std::int64_t step, std::string_view tag, std::string_view png);
  void sync() { file_.sync(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  void write_event(std::int64_t step, std::string_view fields);

  std::filesystem::path path_;
  AppendFile file_;
};

}  // namespace rankine
