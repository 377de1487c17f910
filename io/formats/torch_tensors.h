// Internal to torch_checkpoint.cpp: from the values of a pickle to tensors over raw storages.
#pragma once

#include <map>
#include <string>

#include "io/formats/pickle.h"
#include "io/formats/torch_checkpoint.h"

namespace rankine::torch_detail {

// The raw bytes of each storage by its key. Those of legacy files are exactly as long as the storage.
using StorageTable = std::map<std::string, std::span<const std::byte>, std::less<>>;

// What a persistent id says: ('storage', class, key, location, number of elements[, view]).
struct StorageId {
  std::string_view key;
  std::size_t element_size = 0;
  FileDType dtype = FileDType::other;
  std::uint64_t numel = 0;
  // A legacy view: the elements [begin, begin + view_numel) of the storage.
  std::uint64_t begin = 0, view_numel = 0;
};
// Throws DataError for an id of another form; `where` begins the message.
StorageId storage_id(const Pickle& pickle, const PickleValue& persistent, const std::string& where);

// All tensors below the root of `pickle`. At most `budget` bytes are copied. Throws DataError.
TorchContents collect_tensors(const Pickle& pickle, const StorageTable& storages, std::uint64_t budget,
                              const std::string& name);

}  // namespace rankine::torch_detail
