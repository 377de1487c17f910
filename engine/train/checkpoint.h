// Checkpoints that survive kill -9, power loss and bad disks: a folder is either complete and provably
// intact, or it is passed over.
//
//   <folder>/step-000100/               state.safetensors, what Task::save_result wrote, and commit.json
//   <folder>/.tmp-step-000100-<pid>/    being written       } removed at the next start
//   <folder>/.old-step-000100-<pid>/    being removed       }
//
// commit.json holds the step, the fingerprint of the run, size and SHA-256 of every file, and a checksum of
// itself. Durable order of a save: files of the .tmp- folder written, read back and hashed, each fsynced;
// commit.json written and fsynced last; fsync of the .tmp- folder; rename to its final name; fsync of
// <folder>; only then older ones go, each renamed to .old- before it is removed. A failing fsync fails the
// save; it is never tried again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/train/observer.h"

namespace rankine {

// What commit.json says besides the files.
struct Commit {
  std::int64_t step = 0;
  std::string fingerprint;  // "name: value" lines, see facts.h
  double seconds = 0;       // of training up to here, over every start
  bool unfinished = false;  // validation or preview of this step was interrupted
};

struct Checkpoint {
  std::filesystem::path folder;
  Commit commit;
};

// Reads a checkpoint folder and checks every file it lists. Throws DataError saying which file is wrong and
// how.
Checkpoint verify_checkpoint(const std::filesystem::path& folder);

// Throws DataError with one line per differing fact when the checkpoint belongs to another run than
// `fingerprint`.
void require_same_run(const Checkpoint& checkpoint, const std::string& fingerprint);

class CheckpointStore {
 public:
  using Warn = std::function<void(const std::string&)>;

  static constexpr const char* kStateFile = "state.safetensors";

  // Keeps the newest `keep` checkpoints; 0 keeps all. Nothing is touched before the first save().
  CheckpointStore(std::filesystem::path folder, std::int64_t keep);

  // `write` fills an empty folder; a file kStateFile must be among what it leaves. Returns the committed
  // folder. A folder of the same step is replaced. Throws IoError, and whatever `write` throws; the
  // checkpoints that were there before stay. What cannot be removed afterwards only warns.
  std::filesystem::path save(const Commit& commit,
                             const std::function<void(const std::filesystem::path&)>& write,
                             const Warn& warn);

  // The newest checkpoint that verifies; damaged ones passed over are appended to `skipped`, newest first.
  std::optional<Checkpoint> find_latest_valid(std::vector<SkippedCheckpoint>& skipped) const;

  // Removes what an interrupted save or removal left behind.
  void remove_leftovers(const Warn& warn) const;

 private:
  std::vector<std::pair<std::int64_t, std::filesystem::path>> list() const;  // by step, oldest first
  void put_in_place(const std::filesystem::path& made, const std::filesystem::path& place,
                    const Warn& warn) const;
  void prune(std::int64_t newest, const Warn& warn) const;
  void retire(const std::filesystem::path& folder, const Warn& warn) const;

  std::filesystem::path folder_;
  std::int64_t keep_;
};

}  // namespace rankine
