#include "engine/core/stream.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/error.h"

namespace rankine {
namespace {

// Work that stands still until it is let go, so that a test knows what is pending.
class Gate {
 public:
  std::function<void()> work() {
    return [passed = opened_] { passed.wait(); };
  }
  void open() { door_.set_value(); }

 private:
  std::promise<void> door_;
  std::shared_future<void> opened_ = door_.get_future().share();
};

std::string message_of(const Event& event) {
  try {
    event.synchronize();
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

TEST(Stream, WorkRunsInOrderBesideTheCaller) {
  Stream stream(Device::cpu());
  Gate gate;
  std::vector<int> seen;  // unguarded: the event is what orders worker and test
  stream.run(gate.work());
  for (int i = 0; i < 500; ++i) stream.run([&seen, i] { seen.push_back(i); });
  const Event end = stream.record();
  EXPECT_FALSE(end.reached());
  gate.open();
  end.synchronize();
  EXPECT_TRUE(end.reached());
  std::vector<int> expected(500);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(seen, expected);
}

TEST(Stream, AnEventIsReachedBeforeTheWorkAfterIt) {
  Stream stream(Device::cpu());
  Gate gate;
  int value = 0;
  stream.run([&] { value = 1; });
  const Event first = stream.record();
  stream.run(gate.work());
  stream.run([&] { value = 2; });
  const Event second = stream.record();
  first.synchronize();
  EXPECT_EQ(value, 1);
  EXPECT_FALSE(second.reached());
  gate.open();
  second.synchronize();
  EXPECT_EQ(value, 2);
  EXPECT_TRUE(Event().reached());
  EXPECT_EQ(message_of(Event()), "");
}

TEST(Stream, AStreamWaitsForAnother) {
  Stream producer(Device::cpu()), consumer(Device::cpu());
  std::vector<int> values(100), sums(100);
  for (int round = 0; round < 100; ++round) {
    producer.run([&values, round] { values[round] = round + 1; });
    consumer.wait(producer.record());
    consumer.run([&, round] { sums[round] = 2 * values[round]; });
    producer.wait(consumer.record());  // and back
    producer.run([&, round] { values[round] = -sums[round]; });
  }
  producer.synchronize();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(values[i], -2 * (i + 1));
}

TEST(Stream, AnErrorReachesTheWaiterOfItsSectionOnly) {
  Stream stream(Device::cpu());
  std::atomic<int> ran{0};
  stream.run([&] { ++ran; });
  const Event before = stream.record();
  stream.run([] { throw std::runtime_error("first"); });
  stream.run([&] { ++ran; });  // skipped
  stream.run([] { throw std::runtime_error("second"); });
  const Event failed = stream.record();
  stream.run([&] { ++ran; });
  const Event after = stream.record();
  EXPECT_EQ(message_of(after), "");
  EXPECT_EQ(message_of(failed), "first");
  EXPECT_EQ(message_of(failed), "first") << "whoever asks is told";
  EXPECT_EQ(message_of(before), "");
  EXPECT_EQ(ran, 2);
  stream.run([] { throw DataError("picture.png: broken"); });
  EXPECT_THROW(stream.synchronize(), DataError);
  stream.synchronize();
}

TEST(Stream, AnErrorPassesFromStreamToStream) {
  Stream producer(Device::cpu()), consumer(Device::cpu());
  bool used = false;
  producer.run([] { throw std::runtime_error("no data"); });
  consumer.wait(producer.record());
  consumer.run([&] { used = true; });
  EXPECT_EQ(message_of(consumer.record()), "no data");
  EXPECT_FALSE(used) << "its input was never made";
}

TEST(Stream, AFailedSectionStillWaits) {
  Stream slow(Device::cpu()), stream(Device::cpu());
  Gate gate;
  int value = 0, seen = 0;
  slow.run(gate.work());
  slow.run([&] { value = 7; });
  stream.run([] { throw std::runtime_error("early"); });
  stream.wait(slow.record());
  const Event failed = stream.record();
  stream.run([&] { seen = value; });
  gate.open();
  EXPECT_EQ(message_of(failed), "early");
  stream.synchronize();
  EXPECT_EQ(seen, 7);
}

TEST(Stream, DestructionFinishesWhatIsPending) {
  std::vector<int> seen;
  Event end;
  Gate gate;
  std::thread opener;
  {
    Stream stream(Device::cpu());
    stream.run(gate.work());
    for (int i = 0; i < 20; ++i) stream.run([&seen, i] { seen.push_back(i); });
    stream.run([] { throw std::runtime_error("nobody waits"); });
    stream.record();
    end = stream.record();
    EXPECT_FALSE(end.reached());
    opener = std::thread([&] { gate.open(); });
  }
  EXPECT_TRUE(end.reached()) << "an event outlives its stream";
  EXPECT_EQ(seen.size(), 20U);
  opener.join();
}

TEST(Stream, WhatWorkHeldIsGoneWhenItsEventIsReached) {
  Stream stream(Device::cpu());
  for (int round = 0; round < 200; ++round) {
    const auto held = std::make_shared<int>(round);
    stream.run([held] {});
    stream.synchronize();
    ASSERT_EQ(held.use_count(), 1);
  }
}

TEST(Stream, WorkCannotWaitForItself) {
  Stream stream(Device::cpu());
  stream.run([&] { stream.synchronize(); });
  EXPECT_THROW(stream.synchronize(), std::logic_error);
}

TEST(Stream, APlanRunsNothing) {
  Stream stream(Device::cpu().planned());
  stream.run([] { FAIL() << "ran on a plan device"; });
  const Event end = stream.record();
  EXPECT_TRUE(end.reached());
  stream.wait(end);
  stream.synchronize();
}

TEST(Stream, CudaIsRefusedWhereTheBuildHasNone) {
  if (!build::cuda) {
    EXPECT_THROW(Stream(Device::cuda(0)), Error);
  }
  Stream planned(Device::cuda(0).planned());
  planned.synchronize();
}

}  // namespace
}  // namespace rankine
