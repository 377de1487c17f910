#include "engine/train/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/train/durable.h"
#include "engine/train/facts.h"
#include "io/files/atomic_write.h"
#include "io/files/mapped_file.h"
#include "io/files/paths.h"
#include "io/files/sha256.h"

namespace rankine {

namespace fs = std::filesystem;
using nlohmann::json;

namespace {

constexpr const char* kCommitFile = "commit.json";
constexpr int kFormat = 1;
constexpr std::uintmax_t kMaxCommitBytes = 64U << 20;

std::string hash_of_file(const fs::path& path) { return sha256_hex(MappedFile(path).bytes()); }

// The canonical text of a commit: keys sorted, and the hash of all the rest as "checksum".
std::string render(json commit) {
  commit.erase("checksum");
  commit["checksum"] = sha256_hex(commit.dump());
  return commit.dump(1) + "\n";
}

json list_files(const fs::path& folder) {
  json files = json::object();
  for (const fs::path& file : files_under(folder)) {
    const fs::path name = file.lexically_relative(folder);
    if (name == kCommitFile) continue;
    files[name.generic_string()] = {{"bytes", fs::file_size(file)}, {"sha256", hash_of_file(file)}};
  }
  return files;
}

void verify_file(const fs::path& folder, const std::string& name, const json& facts) {
  const fs::path path = resolve_inside(folder, name);
  const std::uintmax_t bytes = fs::file_size(path), expected = facts.at("bytes").get<std::uintmax_t>();
  require<DataError>(bytes == expected, path.string(), ": has ", bytes, " bytes, ", kCommitFile, " says ",
                     expected);
  require<DataError>(hash_of_file(path) == facts.at("sha256").get<std::string>(), path.string(),
                     ": content does not match its SHA-256 in ", kCommitFile);
}

json read_commit(const fs::path& path) {
  std::error_code error;
  require<DataError>(fs::is_regular_file(path, error), path.string(),
                     ": missing: the save was not completed");
  require<DataError>(fs::file_size(path) <= kMaxCommitBytes, path.string(), ": larger than ", kMaxCommitBytes,
                     " bytes");
  const MappedFile file(path);
  const std::string text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  json commit = json::parse(text, nullptr, false);
  require<DataError>(commit.is_object() && text == render(commit), path.string(),
                     ": damaged: it is not the text that its checksum belongs to");
  require<DataError>(commit.value("format", 0) == kFormat, path.string(), ": format ",
                     commit.value("format", 0), ", this program reads format ", kFormat);
  return commit;
}

std::string name_of_step(std::int64_t step) {
  const std::string digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

std::optional<std::int64_t> step_of(const std::string& name) {
  if (name.rfind("step-", 0) != 0) return std::nullopt;
  std::int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data() + 5, end, step);
  if (error != std::errc() || at != end || step < 0) return std::nullopt;
  return step;
}

}  // namespace

Checkpoint verify_checkpoint(const fs::path& folder) try {
  const json commit = read_commit(folder / kCommitFile);
  const json& files = commit.at("files");
  require<DataError>(files.contains(CheckpointStore::kStateFile), (folder / kCommitFile).string(),
                     ": lists no ", CheckpointStore::kStateFile);
  for (const auto& [name, facts] : files.items()) verify_file(folder, name, facts);
  return {
      folder,
      {commit.at("step"), commit.at("fingerprint"), commit.at("seconds"), commit.value("unfinished", false)}};
} catch (const json::exception& e) {
  throw DataError(join((folder / kCommitFile).string(), ": ", e.what()));
} catch (const fs::filesystem_error& e) {
  throw IoError(e.what());
}

void require_same_run(const Checkpoint& checkpoint, const std::string& fingerprint) {
  const std::vector<std::string> lines = differing_facts(checkpoint.commit.fingerprint, fingerprint);
  if (lines.empty()) return;
  std::string list;
  for (const std::string& line : lines) list += "\n  " + line;
  throw DataError(join(checkpoint.folder.string(),
                       ": made by another run; resuming needs the same model, data and ",
                       "settings, but these differ:", list));
}

CheckpointStore::CheckpointStore(fs::path folder, std::int64_t keep)
    : folder_(std::move(folder)), keep_(keep) {
  require<ConfigError>(keep_ >= 0, "keep_checkpoints must not be negative, got ", keep_);
}

fs::path CheckpointStore::save(const Commit& commit, const std::function<void(const fs::path&)>& write,
                               const Warn& warn) {
  const std::string name = name_of_step(commit.step);
  make_folder(folder_);
  const TemporaryFolder made(folder_ / private_name(".tmp-", name));
  write(made.path());
  json record = {{"format", kFormat},
                 {"step", commit.step},
                 {"fingerprint", commit.fingerprint},
                 {"seconds", commit.seconds},
                 {"files", list_files(made.path())}};
  if (commit.unfinished) record["unfinished"] = true;
  require<DataError>(record["files"].contains(kStateFile), name, ": nothing wrote ", kStateFile);
  sync_tree(made.path());
  write_file_atomically(made.path() / kCommitFile, render(record));
  put_in_place(made.path(), folder_ / name, warn);
  prune(commit.step, warn);
  return folder_ / name;
}

void CheckpointStore::put_in_place(const fs::path& made, const fs::path& place, const Warn& warn) const {
  const fs::path old = folder_ / private_name(".old-", place.filename().string());
  const bool replaces = fs::exists(place);
  if (replaces) rename_path(place, old);
  rename_path(made, place);
  sync_path(folder_);
  std::error_code error;
  if (replaces && (fs::remove_all(old, error), error))
    warn(join(old.string(), ": not removed: ", error.message()));
}

std::optional<Checkpoint> CheckpointStore::find_latest_valid(std::vector<SkippedCheckpoint>& skipped) const {
  const auto all = list();
  for (auto it = all.rbegin(); it != all.rend(); ++it) {
    try {
      Checkpoint found = verify_checkpoint(it->second);
      require<DataError>(found.commit.step == it->first, it->second.string(), ": holds step ",
                         found.commit.step);
      return found;
    } catch (const DataError& e) {
      skipped.push_back({it->second, e.what()});
    }
  }
  return std::nullopt;
}

std::vector<std::pair<std::int64_t, fs::path>> CheckpointStore::list() const {
  std::vector<std::pair<std::int64_t, fs::path>> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder_, error)) {
    const auto step = step_of(entry.path().filename().string());
    if (step && entry.is_directory()) found.emplace_back(*step, entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

void CheckpointStore::prune(std::int64_t newest, const Warn& warn) const {
  if (keep_ == 0) return;
  auto all = list();
  // Folders of later steps are damaged ones or of an abandoned branch; they do not count.
  all.erase(std::remove_if(all.begin(), all.end(), [&](const auto& entry) { return entry.first > newest; }),
            all.end());
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) retire(all[i].second, warn);
}

void CheckpointStore::retire(const fs::path& folder, const Warn& warn) const {
  const fs::path old = folder_ / private_name(".old-", folder.filename().string());
  std::error_code error;
  fs::rename(folder, old, error);
  if (!error) fs::remove_all(old, error);
  if (error) warn(join(folder.string(), ": an old checkpoint was not removed: ", error.message()));
}

void CheckpointStore::remove_leftovers(const Warn& warn) const {
  rankine::remove_leftovers(folder_, {".tmp-step-", ".old-step-"}, warn);
}

}  // namespace rankine
