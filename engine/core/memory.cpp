#include "engine/core/memory.h"

#include <algorithm>
#include <iomanip>
#include <sstream>
#include <stdexcept>

#include "engine/core/cuda_device.h"
#include "engine/core/error.h"
#include "engine/core/host_ring.h"
#include "engine/core/poison.h"

namespace rankine {

std::string_view name_of(Account account) {
  switch (account) {
    case Account::weights:
      return "weights";
    case Account::streamed:
      return "streamed weights";
    case Account::adapters:
      return "adapters";
    case Account::optimizer:
      return "optimizer";
    case Account::tape:
      return "tape";
    case Account::activations:
      return "activations";
    case Account::workspace:
      return "workspace";
    case Account::data:
      return "data";
    case Account::mapped:
      return "mapped";
  }
  return "?";
}

std::string human_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) bytes /= 1024, ++unit;
  std::ostringstream out;
  out << std::fixed << std::setprecision(unit == 0 ? 0 : bytes < 10 ? 2 : 1) << bytes << ' ' << kUnits[unit];
  return std::move(out).str();
}

// ---- OffsetAllocator ----

std::size_t OffsetAllocator::rounded(std::size_t bytes) {
  return std::max(kAlignment, (bytes + kAlignment - 1) / kAlignment * kAlignment);
}

void OffsetAllocator::erase_hole(std::map<std::size_t, std::size_t>::iterator hole) {
  holes_by_size_.erase({hole->second, hole->first});
  holes_.erase(hole);
}

void OffsetAllocator::add_hole(std::size_t offset, std::size_t bytes) {
  auto next = holes_.lower_bound(offset);
  if (next != holes_.end() && offset + bytes == next->first) {
    bytes += next->second;
    erase_hole(next);
  }
  auto at = holes_.lower_bound(offset);
  if (at != holes_.begin()) {
    auto before = std::prev(at);
    if (before->first + before->second == offset) {
      offset = before->first;
      bytes += before->second;
      erase_hole(before);
    }
  }
  if (offset + bytes == end_) {  // a hole at the end is simply not there
    end_ = offset;
    return;
  }
  holes_.emplace(offset, bytes);
  holes_by_size_.emplace(bytes, offset);
}

std::size_t OffsetAllocator::end_after(std::size_t bytes) const {
  const bool fits = holes_by_size_.lower_bound({rounded(bytes), 0}) != holes_by_size_.end();
  return fits ? end_ : end_ + rounded(bytes);
}

std::size_t OffsetAllocator::allocate(std::size_t bytes) {
  bytes = rounded(bytes);
  std::size_t offset = end_;
  if (auto fit = holes_by_size_.lower_bound({bytes, 0}); fit != holes_by_size_.end()) {
    const auto [size, at] = *fit;
    offset = at;
    erase_hole(holes_.find(at));
    if (size > bytes) {
      holes_.emplace(at + bytes, size - bytes);
      holes_by_size_.emplace(size - bytes, at + bytes);
    }
  } else {
    end_ += bytes;
  }
  used_.emplace(offset, bytes);
  held_ += bytes;
  high_water_ = std::max(high_water_, end_);
  return offset;
}

void OffsetAllocator::release(std::size_t offset) {
  const auto it = used_.find(offset);
  if (it == used_.end()) throw std::logic_error("OffsetAllocator: release of an offset that is not held");
  const std::size_t bytes = it->second;
  used_.erase(it);
  held_ -= bytes;
  add_hole(offset, bytes);
}

// ---- Block, Memory ----

Block::Block(Memory& memory, std::size_t offset, std::size_t bytes, Account account, std::string name)
    : memory_(memory),
      offset_(offset),
      bytes_(bytes),
      account_(account),
      name_(std::move(name)),
      data_(memory.base() ? memory.base() + offset : nullptr) {}

Block::Block(Memory& memory, const MappedBytes& mapped, std::size_t bytes, std::string name)
    : memory_(memory),
      offset_(0),
      bytes_(bytes),
      account_(Account::mapped),
      name_(std::move(name)),
      data_(const_cast<std::byte*>(mapped.bytes.data())),  // NOLINT: the pages are read-only
      owner_(mapped.owner) {}

void Block::move_to(Account account) {
  memory_.move(bytes_, account_, account);
  account_ = account;
}

Block::~Block() { memory_.release(offset_, bytes_, account_); }

Memory::Memory(Device device, std::size_t budget) : device_(device), budget_(budget) {
  if (device.plan) return;
  if (!device.is_cuda()) {
    backing_ = make_cpu_backing(budget);
  } else if constexpr (build::cuda) {
    backing_ = cuda::make_backing(device, budget);
    stream_ = cuda::make_stream(device);
    ring_ = std::make_shared<cuda::HostRing>(stream_.get());
  } else {
    throw Error("Memory: this build has no CUDA runtime; use device: cpu");
  }
}

Memory::~Memory() {
  if (watched()) allow_bytes(base(), most_used_);
}

std::shared_ptr<Block> Memory::allocate(std::size_t bytes, Account account, std::string name) {
  if (account == Account::mapped) throw std::logic_error("Memory: mapped bytes are adopted, not allocated");
  const std::size_t limit = backing_ ? std::min(budget_, backing_->capacity()) : budget_;
  OffsetAllocator& from = in_frame_ ? frame_ : offsets_;
  const std::size_t base_offset = in_frame_ ? frame_base_ : 0;
  if (base_offset + from.end_after(bytes) > limit) {
    throw OutOfMemory(join("out of memory on ", device_.to_string(), ": \"", name, "\" (", name_of(account),
                           ") needs ", human_bytes(double(bytes)), ", but only ", human_bytes(double(limit)),
                           " may be used\n", report()));
  }
  const std::size_t offset = base_offset + from.allocate(bytes);
  if (in_frame_) {
    frame_high_ = std::max(frame_high_, base_offset + frame_.end());
    frame_most_ = std::max(frame_most_, frame_high_);
  }
  if (watched()) {
    allow_bytes(base() + offset, bytes);
    forbid_bytes(base() + offset + bytes, OffsetAllocator::rounded(bytes) - bytes);
  }
  if (const std::size_t end = offset + OffsetAllocator::rounded(bytes); end > most_used_) {
    most_used_ = end;
    ++growths_;
  }
  auto block = std::make_shared<Block>(*this, offset, bytes, account, std::move(name));
  ++allocations_;
  held_[static_cast<int>(account)] += bytes;
  if (held() > peak_held_) {
    peak_held_ = held();
    at_peak_ = held_;
  }
  if (listener_) listener_();
  return block;
}

std::shared_ptr<Block> Memory::adopt(const MappedBytes& mapped, std::size_t bytes, std::string name) {
  require<Error>(!device_.is_cuda() || device_.plan, "Memory: \"", name,
                 "\": a CUDA device cannot map files");
  auto block = std::make_shared<Block>(*this, mapped, bytes, std::move(name));
  held_[static_cast<int>(Account::mapped)] += bytes;
  at_peak_[static_cast<int>(Account::mapped)] = held_[static_cast<int>(Account::mapped)];
  if (listener_) listener_();
  return block;
}

void Memory::release(std::size_t offset, std::size_t bytes, Account account) {
  if (account != Account::mapped) {
    const bool framed = offset >= frame_base_ && frame_.holds(offset - frame_base_);
    if (framed)
      frame_.release(offset - frame_base_);
    else
      offsets_.release(offset);
    if (watched()) forbid_bytes(base() + offset, OffsetAllocator::rounded(bytes));
  }
  held_[static_cast<int>(account)] -= bytes;
  if (listener_) listener_();
}

void Memory::move(std::size_t bytes, Account from, Account to) {
  if (from == Account::mapped || to == Account::mapped)
    throw std::logic_error("Memory: mapped bytes stay in their account");
  held_[static_cast<int>(from)] -= bytes;
  held_[static_cast<int>(to)] += bytes;
  if (listener_) listener_();
}

void Memory::upload([[maybe_unused]] std::byte* to, [[maybe_unused]] std::span<const std::byte> from) {
  if constexpr (build::cuda) ring_->upload(to, from.data(), from.size());
}

void Memory::reset_peak() {
  offsets_.reset_high_water();
  frame_high_ = in_frame_ ? frame_base_ + frame_.end() : 0;
  peak_held_ = held();
  at_peak_ = held_;
}

std::size_t Memory::high_water() const { return std::max(offsets_.high_water(), frame_high_); }

Memory::Frame::Frame(Memory& memory) : memory_(memory) {
  if (memory.in_frame_ || memory.frame_.held() != 0)
    throw std::logic_error("Memory: a frame is opened while another is in use");
  const std::size_t above = (memory.offsets_.end() + kStep - 1) / kStep * kStep;
  memory.frame_base_ = std::max(memory.frame_base_, above);
  memory.frame_most_ = std::max(memory.frame_most_, memory.frame_base_);
  memory.in_frame_ = true;
}

Memory::Frame::~Frame() {
  if (open_) memory_.in_frame_ = false;
}

void Memory::Frame::open_all() {
  if (!memory_.watched()) return;
  all_ = true;
  allow_bytes(memory_.base() + base(), memory_.frame_most_ - base());
}

void Memory::Frame::close() {
  open_ = memory_.in_frame_ = false;
  if (all_) forbid_bytes(memory_.base() + base(), memory_.frame_most_ - base());
  if (memory_.frame_.held() != 0)
    throw std::logic_error("Memory: a frame closes while tensors made in it are held\n" + memory_.report());
}

std::string Memory::report() const {
  std::ostringstream out;
  out << std::left << std::setw(18) << "account" << std::right << std::setw(14) << "held" << std::setw(14)
      << "at peak" << '\n';
  for (int i = 0; i < kAccounts; ++i) {
    out << std::left << std::setw(18) << name_of(static_cast<Account>(i)) << std::right << std::setw(14)
        << human_bytes(double(held_[i])) << std::setw(14) << human_bytes(double(at_peak_[i])) << '\n';
  }
  out << std::left << std::setw(18) << "total" << std::right << std::setw(14) << human_bytes(double(held()))
      << std::setw(14) << human_bytes(double(peak_held_)) << '\n';
  return std::move(out).str();
}

}  // namespace rankine
